"""Measurements from CSV: what is wrong with a file is said before anything is computed from it."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from services.core.errors import ConfigError, ConfigProblem
from services.core.events import FloatArray


class Bound(Enum):
    """What a number of a column may be; the value says it to people."""

    POSITIVE = "a finite number above 0"
    NOT_NEGATIVE = "a finite number of at least 0"
    AT_LEAST_ONE = "a finite number of at least 1"
    WHOLE = "a whole number of at least 1"


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A table of texts: column name -> one value per row, all equally long; `place` is where it is from."""

    place: str
    columns: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def numbers(self, bounds: Mapping[str, Bound]) -> dict[str, FloatArray]:
        """Columns as numbers, shape (rows,) each. Raises ConfigError that names every wrong column."""
        problems = [found for name, bound in bounds.items() if (found := self._problem(name, bound))]
        if problems:
            raise ConfigError(problems)
        return {name: np.array([float(value) for value in self.columns[name]]) for name in bounds}

    def _problem(self, name: str, bound: Bound) -> ConfigProblem | None:
        values = self.columns[name]
        bad = [row for row, value in enumerate(values) if not _is_within(value, bound)]
        if not bad:
            return None
        others = f" and in {len(bad) - 1:,} more" if len(bad) > 1 else ""
        # Row 1 holds the names.
        return ConfigProblem(
            self.place, name, f"{values[bad[0]]!r} in row {bad[0] + 2:,}{others}", bound.value
        )


def read_csv_table(path: Path, required: Sequence[str]) -> CsvTable:
    """A CSV file with a header. Raises ConfigError: not readable, no rows, missing columns (named)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return table_from_lines(str(path), file, required)
    except OSError as error:
        raise ConfigError([_unreadable(path, (error.strerror or str(error)).lower())]) from None
    except UnicodeDecodeError:
        raise ConfigError([_unreadable(path, "this one is no text")]) from None
    except csv.Error as error:
        raise ConfigError([_unreadable(path, str(error))]) from None


def table_from_lines(place: str, lines: Iterable[str], required: Sequence[str]) -> CsvTable:
    """A table from the lines of a CSV file. Raises ConfigError as `read_csv_table`."""
    reader = csv.reader(lines)
    names = next(reader, [])
    rows = [row for row in reader if row]
    if missing := [name for name in required if name not in names]:
        expected = f"missing: {', '.join(missing)}; expected: {', '.join(required)}"
        raise ConfigError([ConfigProblem(place, "columns", ", ".join(names) or "none", expected)])
    if len(names) < 2:
        allowed = "a CSV file is needed: its first line names the columns, separated by commas"
        raise ConfigError([ConfigProblem(place, "columns", " ".join(names)[:40] or "none", allowed)])
    if not rows:
        raise ConfigError([ConfigProblem(place, "rows", "0", "at least one measurement is needed")])
    if short := [number for number, row in enumerate(rows, start=2) if len(row) != len(names)]:
        value = f"row {short[0]:,} has {len(rows[short[0] - 2])}"
        raise ConfigError([ConfigProblem(place, "cells", value, f"{len(names)} in every row")])
    return CsvTable(place, {name: tuple(row[i] for row in rows) for i, name in enumerate(names)})


def _unreadable(path: Path, why: str) -> ConfigProblem:
    return ConfigProblem(str(path), "file", "not readable", f"a CSV file is needed: {why}")


def _is_within(text: str, bound: Bound) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    if not math.isfinite(number):
        return False
    if bound is Bound.POSITIVE:
        return number > 0.0
    if bound is Bound.WHOLE:
        return number >= 1.0 and number.is_integer()
    return number >= (1.0 if bound is Bound.AT_LEAST_ONE else 0.0)
