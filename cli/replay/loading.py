"""Which reader a file of outcomes needs, by its name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cli.failure import config_error
from planner.replay.outcomes import Outcomes
from planner.replay.sources.event_log import read_event_log

_ALLOWED = ".parquet, .csv (or a folder of them), .pkl; a recorded event log goes to --from-log"


def load_outcomes(path: Path, joules: Mapping[str, float], command: str = "replay") -> Outcomes:
    """Outcomes from Parquet, MESS+'s or RouteLLM's CSV, or RouterBench's pickle.

    `joules` states joules per request for models of files that record none. Raises ConfigError, which
    names the `command`.
    """
    with _readable(command, "--outcomes", path):
        return _read(command, path, joules)


def load_log(path: Path, joules: Mapping[str, float]) -> Outcomes:
    """Outcomes from a recorded event log, which has joules of its own. Raises ConfigError."""
    if joules:
        raise config_error("replay", "--energy", ", ".join(joules), "a recorded log has joules of its own")
    with _readable("replay", "--from-log", path):
        return read_event_log(path)


@contextmanager
def _readable(command: str, option: str, path: Path) -> Iterator[None]:
    """Turns what the operating system says against reading into a ConfigError that names the option."""
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise config_error(command, option, path, f"a file that can be read is needed: {why}") from None


def _read(command: str, path: Path, joules: Mapping[str, float]) -> Outcomes:
    if not path.exists():
        raise config_error(command, "--outcomes", path, "no such file")
    if path.suffix == ".parquet":
        # Only this format needs the package.
        from planner.replay.sources.parquet import read_parquet

        if joules:
            raise config_error(
                command, "--energy", ", ".join(joules), "a .parquet file has joules of its own"
            )
        return read_parquet(path)
    if path.suffix == ".csv" or path.is_dir():
        from planner.replay.sources.tables import read_csv

        return read_csv(path, joules)
    if path.suffix == ".pkl":
        from planner.replay.sources.routerbench import read_routerbench

        return read_routerbench(path, joules)
    raise config_error(command, "--outcomes", path, _ALLOWED)
