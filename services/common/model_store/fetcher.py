"""The port that every source of weights satisfies."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where known, the bytes of the whole file."""

COPY_BYTES = 1 << 20


class Fetcher(Protocol):
    """A source of one file."""

    @property
    def origin(self) -> str:
        """The source, for people."""

    @property
    def partial_name(self) -> str:
        """Name of the unfinished file; each kind of source resumes only its own."""

    @property
    def scratch_share(self) -> float:
        """Room needed beside the file while it is fetched, as a share of its size."""

    def fetch(self, partial: Path, report: Report) -> None:
        """Completes `partial`, going on from what it already holds.

        Raises:
            SourceError: when this source cannot give the file.
            OSError: when the disk does not take it.

        """


def scratch_folder(partial: Path) -> Path:
    """Where a fetcher may keep files beside `partial`."""
    return partial.with_suffix(".folder")


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
