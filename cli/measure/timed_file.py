"""Timed requests in a CSV file, one row each as it is measured: what `--from` reads, and what is resumed."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.failure import config_error
from planner.csv_table import Bound, read_csv_table
from planner.runtime.fitting import Measurement, read_measurements
from planner.runtime.grid import Cell

_WANTED = ("wanted_prompt_tokens", "wanted_output_tokens")
_COLUMNS = ("model", "prompt_tokens", "output_tokens", "seconds", *_WANTED)
_ENERGY = ("joules", "joules_are")


@dataclass(frozen=True, slots=True)
class Timed:
    """One measured request of a grid, and the cell it was sent for."""

    cell: Cell
    measurement: Measurement


class TimedFile:
    """The file at `path`, of one model.

    Args:
        path: appended to; made where it is not there.
        model: the rows' name.
        with_joules: whether rows have joules.

    Raises ConfigError where the file there is of something else.

    """

    def __init__(self, path: Path, model: str, *, with_joules: bool) -> None:
        self.path, self._model = path, model
        self._names = (*_COLUMNS, *(_ENERGY if with_joules else ()))
        self.timed: list[Timed] = self._read() if path.exists() and path.stat().st_size else []
        if not self.timed:
            self._write(self._names, mode="w")

    def add(self, timed: Timed) -> None:
        """Appends a row. Raises OSError."""
        self.timed.append(timed)
        found = timed.measurement
        row = [self._model, found.prompt_tokens, found.output_tokens, repr(found.seconds), *timed.cell]
        if found.joules is not None:
            row += [repr(found.joules), found.tier.value]
        self._write(row, mode="a")

    def _write(self, row: Sequence[object], mode: str) -> None:
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(row)

    def _read(self) -> list[Timed]:
        with self.path.open(encoding="utf-8", newline="") as file:
            names = tuple(next(csv.reader(file)))
        if names != self._names:
            allowed = f"a file of this profile, with {', '.join(self._names)}: choose another file"
            raise config_error(str(self.path), "columns", ", ".join(names), allowed)
        if len(self.path.read_text(encoding="utf-8").splitlines()) < 2:
            return []
        table = read_csv_table(self.path, self._names)
        if others := sorted(set(table.columns["model"]) - {self._model}):
            allowed = f"only {self._model}: choose another file"
            raise config_error(str(self.path), "model", ", ".join(others), allowed)
        wanted = table.numbers(dict.fromkeys(_WANTED, Bound.WHOLE))
        cells = zip(*(map(int, wanted[name]) for name in _WANTED), strict=True)
        measurements = read_measurements(self.path)[self._model]
        return [Timed(cell, found) for cell, found in zip(cells, measurements, strict=True)]
