"""Which reader a file of outcomes needs, by its name."""

from collections.abc import Mapping
from pathlib import Path

from cli.failure import config_error
from planner.replay.outcomes import Outcomes

_ALLOWED = ".parquet, .csv (or a folder of them), .pkl; a recorded event log goes to --from-log"


def load_outcomes(path: Path, joules: Mapping[str, float]) -> Outcomes:
    """Outcomes from Parquet, MESS+'s or RouteLLM's CSV, or RouterBench's pickle.

    `joules` states joules per request for models of files that record none. Raises ConfigError, OSError.
    """
    if not path.exists():
        raise config_error("replay", "--outcomes", path, "no such file")
    if path.suffix == ".parquet":
        # Only this format needs the package.
        from planner.replay.sources.parquet import read_parquet

        if joules:
            raise config_error(
                "replay", "--energy", ", ".join(joules), "a .parquet file has joules of its own"
            )
        return read_parquet(path)
    if path.suffix == ".csv" or path.is_dir():
        from planner.replay.sources.tables import read_csv

        return read_csv(path, joules)
    if path.suffix == ".pkl":
        from planner.replay.sources.routerbench import read_routerbench

        return read_routerbench(path, joules)
    raise config_error("replay", "--outcomes", path, _ALLOWED)
