"""The generated code is what the .proto files say, and keeps being so."""

import filecmp
import subprocess
from pathlib import Path

PROTOS = Path("protos")


def generated(root: Path) -> dict[str, Path]:
    return {
        str(file.relative_to(root)): file for file in root.rglob("*.py*") if "__pycache__" not in file.parts
    }


def test_make_protos_reproduces_the_committed_code_byte_for_byte(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    (copy / ".venv").parent.mkdir()
    (copy / ".venv").symlink_to(Path(".venv").resolve())
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (copy / name).symlink_to(Path(name).resolve())
    sources = list(PROTOS.rglob("*.proto"))
    for source in sources:
        target = copy / source
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (copy / "protos/gen").mkdir()
    subprocess.run(["make", "-o", ".venv/.installed", "protos"], cwd=copy, check=True, capture_output=True)
    fresh, committed = generated(copy / "protos/gen"), generated(PROTOS / "gen")
    assert fresh.keys() == committed.keys()
    different = [n for n in fresh if not filecmp.cmp(fresh[n], committed[n], shallow=False)]
    assert different == []
