"""`messplus demo` from its first line to its report, on SmolLM2 and an echo model."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local_system import ECHO, MESSPLUS, SMOLLM, wait_for, write_zoo, zoo_data

PNG = b"\x89PNG\r\n"
POLICY = {"name": "messplus-2025", "parameters": {"energy_weight": 0.05, "exploration_scale": 1.0}}


def command(folder: Path, models: list[dict[str, Any]], prompts: int, *options: str) -> list[str]:
    zoo_file = write_zoo(folder, zoo_data(models, POLICY))
    places = ["--zoo", str(zoo_file), "--out", str(folder / "out")]
    return [str(MESSPLUS), "demo", "--prompts", str(prompts), *places, *options]


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demo keeps its scratch files; short, as sockets lie in it."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.mark.model
def test_the_demo_measures_everyone_and_writes_its_report(tmp_path: Path, scratch: Path) -> None:
    options = ("--min-satisfaction", "0.2", "--seed", "3")
    started = command(tmp_path, [ECHO, SMOLLM], 12, *options)
    result = subprocess.run(started, capture_output=True, text=True, timeout=170, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    names = ("single:echo", "single:smollm", "static-mixture", "router")
    attributed = ("Attributed joules per generation", "MODELLED process-cpu", "joules in all")
    for words in (*attributed, "from the zoo's priors", "SLA", "static mixture", "report.html", *names):
        assert words in result.stdout, words
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(name in page for name in names)
    assert 'src="data:image/png' in page
    figures = list((tmp_path / "out").glob("*.png"))
    assert "power.png" in [figure.name for figure in figures]
    assert all(figure.read_bytes().startswith(PNG) for figure in figures)
    assert not list(scratch.iterdir())


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, scratch: Path) -> None:
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            command(tmp_path, [ECHO], 5000),
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    wait_for(lambda: "routed: 5000" in log.read_text(), 60, "the routed run")
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 130
    assert "Nothing is left running" in log.read_text()
    assert not list(scratch.iterdir())


def test_an_unusable_folder_is_named_before_anything_starts(tmp_path: Path) -> None:
    started = command(tmp_path, [ECHO], 1)
    (tmp_path / "out").touch()
    result = subprocess.run(started, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "--out" in line
