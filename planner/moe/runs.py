"""Training runs that a law is fitted on."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from planner.csv_table import Bound, CsvTable, read_csv_table
from services.core.errors import ConfigError, ConfigProblem
from services.core.events import FloatArray

COLUMNS = {
    "params": Bound.POSITIVE,
    "tokens": Bound.POSITIVE,
    "experts": Bound.AT_LEAST_ONE,
    "loss": Bound.POSITIVE,
}
"""Columns of a file of runs: N as the law counts it, D, E, and the loss in nats per token."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRuns:
    """n runs; every array has shape (n,)."""

    place: str
    """Where they are from."""
    params: FloatArray
    tokens: FloatArray
    experts: FloatArray
    loss: FloatArray
    """Nats per token, > 0."""
    notes: tuple[str, ...] = ()
    """What a reader of the fit must know."""

    def __len__(self) -> int:
        return len(self.loss)

    def chosen(self, rows: npt.NDArray[np.int64]) -> "TrainingRuns":
        """These rows, as often as they are named."""
        return TrainingRuns(
            self.place, self.params[rows], self.tokens[rows], self.experts[rows], self.loss[rows]
        )


def read_runs(path: Path) -> TrainingRuns:
    """Reads a CSV file with `COLUMNS`. Raises ConfigError."""
    return runs_from_table(read_csv_table(path, tuple(COLUMNS)))


def runs_from_table(table: CsvTable) -> TrainingRuns:
    """Runs of a table; a row that stands twice counts once. Raises ConfigError."""
    numbers = table.numbers(COLUMNS)
    rows = np.unique(np.column_stack([numbers[name] for name in COLUMNS]), axis=0)
    notes = []
    if twice := len(table) - len(rows):
        notes.append(f"{twice} rows stand twice in {table.place} and count once.")
    if odd := _rising(rows):
        notes.append(
            f"{odd} runs lose more than one with less of N or D and all else equal: did they diverge?"
        )
    params, tokens, experts, loss = rows.T
    return TrainingRuns(table.place, params, tokens, experts, loss, tuple(notes))


def _rising(rows: FloatArray) -> int:
    """How many runs lose to a run that is smaller in N or D and equal in the rest."""
    found = set()
    for varied in (0, 1):
        kept = [column for column in range(3) if column != varied]
        order = np.lexsort((rows[:, varied], *rows[:, kept].T))
        pairs = itertools.pairwise(order)
        found |= {
            int(after)
            for before, after in pairs
            if (rows[before][kept] == rows[after][kept]).all()
            and rows[before, varied] < rows[after, varied]
            and rows[before, 3] < rows[after, 3]
        }
    return len(found)


def check_variety(runs: TrainingRuns, coefficients: int, *, experts_vary: bool) -> None:
    """Raises ConfigError where the runs cannot tell a law of this many coefficients."""
    problems = []
    if len(runs) <= coefficients:
        allowed = f"more runs than the law's {coefficients} coefficients"
        problems.append(ConfigProblem(runs.place, "rows", str(len(runs)), allowed))
    varied = {"params": runs.params, "tokens": runs.tokens}
    if experts_vary:
        varied["experts"] = runs.experts
    for name, values in varied.items():
        different = len(np.unique(values))
        # Two points leave an exponent and a floor undetermined; of experts there are two bounds beside.
        if different < 3:
            allowed = "at least 3 different values, or the law is undetermined"
            problems.append(ConfigProblem(runs.place, name, f"{different} different values", allowed))
    if problems:
        raise ConfigError(problems)
