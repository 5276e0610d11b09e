"""Runs of a sweep in a CSV file, a row each as it is measured: what `--replay` reads, and what is resumed."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from cli.failure import config_error
from planner.pareto.sources import OWN_COLUMNS, read_runs
from planner.pareto.sweep import Run

_NAMES = (*OWN_COLUMNS, "joules_per_token", "group")


class SweepFile:
    """The file at `path`; `runs` are those that it has. Raises ConfigError where it is something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: list[Run] = self._read() if path.exists() and path.stat().st_size else []
        if not self.runs:
            self._write(_NAMES, mode="w")

    def add(self, run: Run) -> None:
        """Appends a row. Raises OSError."""
        self.runs.append(run)
        found = run.configuration
        joules = "" if math.isnan(run.joules_per_token) else repr(run.joules_per_token)
        measured = [repr(getattr(run, name)) for name in list(OWN_COLUMNS)[3:]]
        self._write([found.model, found.batch, found.replicas, *measured, joules, found.group], mode="a")

    def _write(self, row: Sequence[object], mode: str) -> None:
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(row)

    def _read(self) -> list[Run]:
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        if tuple(rows[0]) != _NAMES:
            allowed = f"a file of a live sweep, with {', '.join(_NAMES)}: choose another file"
            raise config_error(str(self.path), "columns", ", ".join(rows[0]), allowed)
        return read_runs(self.path) if len(rows) > 1 else []
