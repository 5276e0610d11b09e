"""Sweeps from files: this project's own table, or the one of vLLM runs by Recasens et al. and successors."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.csv_table import Bound, CsvTable, read_csv_table
from planner.pareto.sweep import Configuration, Run
from services.core.errors import ConfigError, ConfigProblem

OWN_COLUMNS = {
    "model": None,
    "batch": Bound.WHOLE,
    "replicas": Bound.WHOLE,
    "prompt_tokens": Bound.POSITIVE,
    "output_tokens": Bound.POSITIVE,
    "tokens_per_second": Bound.POSITIVE,
    "ttft_seconds": Bound.POSITIVE,
    "itl_seconds": Bound.POSITIVE,
    "itl_p50_seconds": Bound.POSITIVE,
    "itl_p99_seconds": Bound.POSITIVE,
}
"""Columns of a sweep, one row per run; `joules_per_token` (may be empty), `group`, `variant` may be added."""
_VLLM_TEXTS = ("section", "sub", "setting", "model", "j_per_out_tok_est")
_VLLM_NUMBERS = {
    "num_prompts": Bound.WHOLE,
    "in_tok": Bound.POSITIVE,
    "out_tok": Bound.POSITIVE,
    "out_tok_per_s": Bound.POSITIVE,
    "mean_ttft_ms": Bound.POSITIVE,
    "mean_itl_ms": Bound.POSITIVE,
    "median_itl_ms": Bound.POSITIVE,
    "p99_itl_ms": Bound.POSITIVE,
}
_SETTING = re.compile(r"_(\d+)_(?:_(\d+))?$")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Runs of a file."""

    place: str
    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def read_sweep(path: Path) -> Sweep:
    """Reads either table, told apart by its columns. Raises ConfigError that names what is wrong."""
    table = read_csv_table(path, ())
    if "setting" in table.columns:
        return _checked(table, _vllm_runs(_with_columns(table, (*_VLLM_TEXTS, *_VLLM_NUMBERS))))
    return _checked(table, _own_runs(_with_columns(table, tuple(OWN_COLUMNS))))


def read_runs(path: Path) -> list[Run]:
    """The runs of this project's own table, one or more. Raises ConfigError."""
    return _own_runs(read_csv_table(path, tuple(OWN_COLUMNS)))


def _with_columns(table: CsvTable, required: Sequence[str]) -> CsvTable:
    if missing := [name for name in required if name not in table.columns]:
        allowed = f"missing: {', '.join(missing)}; expected: {', '.join(required)}"
        raise ConfigError([ConfigProblem(table.place, "columns", ", ".join(table.columns), allowed)])
    return table


def _checked(table: CsvTable, runs: Sequence[Run]) -> Sweep:
    unique = tuple(dict.fromkeys(runs))
    if len({run.configuration for run in unique}) < 2:
        allowed = "at least two configurations: one point has no frontier"
        raise ConfigError([ConfigProblem(table.place, "configurations", str(len(unique)), allowed)])
    twice = len(runs) - len(unique)
    return Sweep(table.place, unique, (f"{twice} rows stand twice and count once.",) if twice else ())


def _own_runs(table: CsvTable) -> list[Run]:
    numbers = table.numbers({name: bound for name, bound in OWN_COLUMNS.items() if bound is not None})
    rows = range(len(table))
    energy = _energies(table, "joules_per_token")
    extra = {name: table.columns.get(name, ("",) * len(table)) for name in ("group", "variant")}
    measured = list(OWN_COLUMNS)[3:]
    return [
        Run(
            Configuration(
                table.columns["model"][row],
                extra["group"][row],
                int(numbers["batch"][row]),
                int(numbers["replicas"][row]),
                extra["variant"][row],
            ),
            joules_per_token=energy[row],
            **{name: float(numbers[name][row]) for name in measured},
        )
        for row in rows
    ]


def _vllm_runs(table: CsvTable) -> list[Run]:
    numbers = table.numbers(_VLLM_NUMBERS)
    energy = _energies(table, "j_per_out_tok_est")
    runs = []
    for row in range(len(table)):
        value = {name: float(column[row]) for name, column in numbers.items()}
        runs.append(
            Run(
                _vllm_configuration(table, row),
                value["in_tok"] / value["num_prompts"],
                value["out_tok"] / value["num_prompts"],
                value["out_tok_per_s"],
                value["mean_ttft_ms"] / 1e3,
                value["mean_itl_ms"] / 1e3,
                value["median_itl_ms"] / 1e3,
                value["p99_itl_ms"] / 1e3,
                energy[row],
            )
        )
    return runs


def _vllm_configuration(table: CsvTable, row: int) -> Configuration:
    section, sub, setting = (table.columns[name][row] for name in ("section", "sub", "setting"))
    found = _SETTING.match(setting)
    if found is None:
        value, allowed = f"{setting!r} in row {row + 2}", "_BATCH_ or _BATCH__REPLICAS"
        raise ConfigError([ConfigProblem(table.place, "setting", value, allowed)])
    kind, _, last = sub.rpartition("/")
    model, _, variant = (table.columns["model"][row] or last).partition("_")
    # The suffix of a folder tells what else was set; the column "model" lacks it.
    variant = variant or last.partition("_")[2]
    # Replicas stand in the setting of replication only; elsewhere its second number counts prompts.
    replicas = int(found[2]) if section == "replication" and found[2] else 1
    return Configuration(model, "/".join(filter(None, (section, kind))), int(found[1]), replicas, variant)


def _energies(table: CsvTable, name: str) -> list[float]:
    """Joules per token of every row; NaN where the cell is empty. Raises ConfigError."""
    cells = table.columns.get(name, ("",) * len(table))
    filled = CsvTable(table.place, {name: tuple(cell or "1" for cell in cells)})
    numbers = filled.numbers({name: Bound.POSITIVE})[name]
    return [float(number) if cell else math.nan for cell, number in zip(cells, numbers, strict=True)]
