"""The hash of a file, and a marker so that a gigabyte is not read at every start."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

_BLOCK_BYTES = 4 << 20


def sha256_of(path: Path, report: Callable[[int], None]) -> str:
    """The sha256 of a file in hex; `report` gets the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            report(done)
    return digest.hexdigest()


def mark_verified(path: Path, folder: Path) -> None:
    """Notes in `folder` that the bytes of `path`, as they are now, have the right hash."""
    new = folder / "verified.new"
    new.write_text(json.dumps(_fingerprint(path)), encoding="utf-8")
    new.replace(folder / "verified.json")


def is_verified(path: Path, folder: Path) -> bool:
    """Whether `path` was verified and has neither its size nor its modification time changed since."""
    try:
        noted = json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # no readable note, no claim: the file is read again, and a broken cache shows there
    return bool(noted == _fingerprint(path))


def _fingerprint(path: Path) -> dict[str, str | int]:
    stat = path.stat()
    return {"path": str(path.absolute()), "size_bytes": stat.st_size, "mtime_nanoseconds": stat.st_mtime_ns}
