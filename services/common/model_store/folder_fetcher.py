"""Weights from another store's folder, for example one that was filled before and is mounted read-only."""

from pathlib import Path

from services.common.model_store.errors import SourceError
from services.common.model_store.fetcher import COPY_BYTES, Report, size_of


class FolderFetcher:
    """The file `<folder>/<sha256>/model.gguf`. A broken copy goes on where it broke."""

    partial_name = "seed.partial"
    scratch_share = 0.0

    def __init__(self, folder: Path, sha256: str) -> None:
        self.origin = f"folder {folder}"
        self._file = folder / sha256 / "model.gguf"

    def fetch(self, partial: Path, report: Report) -> None:
        """See Fetcher."""
        try:
            source = self._file.open("rb")
        except OSError as error:
            raise SourceError(self.origin, f"{self._file}: {error.strerror}") from error
        total = size_of(self._file)
        with source, partial.open("ab") as copy:
            source.seek(copy.tell())
            while block := source.read(COPY_BYTES):
                copy.write(block)
                report(copy.tell(), total)
