"""Outcomes from Parquet: one row per request and model, columns as in `outcomes.REQUIRED_COLUMNS`."""

from pathlib import Path
from typing import Any

from planner.replay.outcomes import REQUIRED_COLUMNS, TOKEN_COLUMNS, Outcomes, outcomes_from_columns
from services.core.errors import ConfigError, ConfigProblem

_MAGIC = b"PAR1"


def read_parquet(path: Path) -> Outcomes:
    """Reads a file. Raises ConfigError where it is not Parquet or its rows are no outcomes, OSError."""
    table = _table(path)
    wanted = (*REQUIRED_COLUMNS, *TOKEN_COLUMNS)
    names = list(table.column_names)
    if twice := sorted({name for name in wanted if names.count(name) > 1}):
        raise ConfigError([ConfigProblem(str(path), "columns", ", ".join(twice), "each name once")])
    # What nobody asked for (whole answers, most of all) stays where it is; its name tells what is missing.
    columns = {name: table[name].to_pylist() if name in wanted else () for name in names}
    return outcomes_from_columns(str(path), path.stem, columns)


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    """Writes a table of texts, whole numbers and floats; the first value of a column gives its type."""
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    types = {str: DataType.string(), int: DataType.int64(), float: DataType.float64()}
    arrays = [Array(values, type=types[type(values[0])]) for values in columns.values()]
    write_parquet(Table.from_arrays(arrays, names=list(columns)), path)


def _table(path: Path) -> Any:
    # A broken file makes the reader panic, which is no Exception and prints a stack of its own: the marks at
    # both ends, and the length of the footer before the last one, tell most of them beforehand.
    content = path.read_bytes()
    if not (content.startswith(_MAGIC) and content.endswith(_MAGIC)):
        raise _not_parquet(path, "its first and last four bytes must be PAR1")
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    if not 0 < footer_bytes <= len(content) - 3 * len(_MAGIC):
        raise _not_parquet(path, f"its footer of {footer_bytes:,} bytes is not in it: write the file anew")
    from arro3.io import read_parquet

    try:
        return read_parquet(content).read_all()
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime" or isinstance(error, Exception):
            raise _not_parquet(path, str(error)) from None
        raise


def _not_parquet(path: Path, why: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), "format", "not readable as Parquet", why)])
