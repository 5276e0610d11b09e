"""The data directory of a local system: learned state, logs, and the lock that keeps others out."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.failure import config_error
from cli.written_files import write_whole

_MAX_SOCKET_PATH_BYTES = 100
_MAX_LOG_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ReloadRecord:
    """What came of the newest reading of a running system's zoo file.

    Attributes:
        number: of that reading; 0: the one at the start.
        zoo_file: the file.
        problems: why it changed nothing; empty: it serves.

    """

    number: int
    zoo_file: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where one local system keeps everything it writes."""

    root: Path

    @property
    def store(self) -> Path:
        """Append-only files of the embedded Valkey: the log and the learned state."""
        return self.root / "valkey"

    @property
    def socket(self) -> Path:
        """Unix socket of the embedded Valkey: no port to clash, and nobody else's to open."""
        return self.root / "valkey.sock"

    @property
    def redis_url(self) -> str:
        """How services reach the embedded Valkey."""
        return f"unix://{self.socket}"

    @property
    def processes_file(self) -> Path:
        """JSON, name of a service -> its process id; there while the system runs."""
        return self.root / "processes.json"

    @property
    def reload_file(self) -> Path:
        """JSON, a `ReloadRecord`; there while a system runs that can change its zoo."""
        return self.root / "reload.json"

    def log_file(self, service: str) -> Path:
        """Log of a service, appended to; a large one is put aside as `.1` first."""
        path = self.root / "logs" / f"{service}.log"
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def write_processes(self, processes: Mapping[str, int]) -> None:
        """Replaces the list of running processes."""
        _replace(self.processes_file, processes)

    def write_reload(self, number: int, zoo_file: Path, problems: Sequence[str]) -> None:
        """Replaces the record of the newest reading of the zoo file."""
        _replace(self.reload_file, {"number": number, "zoo_file": str(zoo_file), "problems": list(problems)})

    def read_reload(self) -> ReloadRecord | None:
        """That record; None where no system runs that keeps one."""
        try:
            found = json.loads(self.reload_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return ReloadRecord(found["number"], found["zoo_file"], tuple(found["problems"]))

    def owner(self) -> int | None:
        """Process id of the system that runs here; None where none does."""
        try:
            lock = os.open(self.root / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            return int(os.read(lock, 32) or b"0") or None
        finally:
            os.close(lock)


def _replace(path: Path, document: object) -> None:
    write_whole(path, json.dumps(document, indent=2) + "\n")


@contextmanager
def opened(root: Path, *, fresh: bool) -> Iterator[DataDirectory]:
    """Makes and locks the data directory for the length of the block; `fresh` forgets its learned state.

    Raises:
        ConfigError: it cannot be written, its path is too long, or another system runs on it.

    """
    data = DataDirectory(root.expanduser().absolute())
    _check_socket_path(data)
    try:
        (data.root / "logs").mkdir(parents=True, exist_ok=True)
        data.root.chmod(0o700)
        lock = os.open(data.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise config_error(
            "data directory",
            "--data-dir",
            data.root,
            f"cannot be used: {error.strerror}: choose another directory (--data-dir, MESSPLUS_DATA)",
        ) from error
    try:
        _take_lock(lock, data)
        if fresh:
            shutil.rmtree(data.store, ignore_errors=True)
        data.store.mkdir(exist_ok=True)
        with _run_files_removed(data):
            yield data
    finally:
        os.close(lock)


@contextmanager
def _run_files_removed(data: DataDirectory) -> Iterator[None]:
    try:
        yield
    finally:
        data.processes_file.unlink(missing_ok=True)
        data.reload_file.unlink(missing_ok=True)
        data.socket.unlink(missing_ok=True)


def _check_socket_path(data: DataDirectory) -> None:
    length = len(os.fsencode(data.socket))
    if length > _MAX_SOCKET_PATH_BYTES:
        limit = _MAX_SOCKET_PATH_BYTES - len("/valkey.sock")
        raise config_error("data directory", "--data-dir", data.root, f"must be at most {limit} bytes long")


def _take_lock(lock: int, data: DataDirectory) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        raise config_error(
            "data directory",
            "--data-dir",
            data.root,
            f"in use by another messplus (process {owner}): stop that one, or choose another directory",
        ) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
