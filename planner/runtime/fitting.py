"""A profile from timed requests: alpha per prompt length, one slope over output tokens for all."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planner.csv_table import Bound, CsvTable, read_csv_table
from planner.runtime.profile import Linear, Profile, Tier
from services.core.errors import ConfigError, ConfigProblem
from services.core.events import FloatArray

COLUMNS = {"prompt_tokens": Bound.WHOLE, "output_tokens": Bound.WHOLE, "seconds": Bound.POSITIVE}
_PAYS = 0.95
"""The KV term stays where it leaves at most this share of the error on prompt lengths left out."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One timed request, nobody else around."""

    prompt_tokens: int
    output_tokens: int
    seconds: float
    joules: float | None = None
    tier: Tier = Tier.MEASURED
    """Of `joules`."""


def read_measurements(path: Path) -> dict[str, list[Measurement]]:
    """Measurements by model from a CSV file: model, `COLUMNS`, and joules, joules_are if a meter was read.

    Raises ConfigError.
    """
    table = read_csv_table(path, ("model", *COLUMNS))
    numbers = table.numbers(COLUMNS)
    joules, tiers = _joules(table), _tiers(table)
    found: dict[str, list[Measurement]] = {}
    for row, model in enumerate(table.columns["model"]):
        prompt, output, seconds = (float(numbers[name][row]) for name in COLUMNS)
        found.setdefault(model, []).append(
            Measurement(int(prompt), int(output), seconds, joules[row], tiers[row])
        )
    return found


def _joules(table: CsvTable) -> list[float | None]:
    if "joules" not in table.columns:
        return [None] * len(table)
    return [float(value) for value in table.numbers({"joules": Bound.POSITIVE})["joules"]]


def _tiers(table: CsvTable) -> list[Tier]:
    cells = table.columns.get("joules_are", (Tier.MEASURED.value,) * len(table))
    allowed = [tier.value for tier in Tier]
    if wrong := [row for row, cell in enumerate(cells) if cell not in allowed]:
        value = f"{cells[wrong[0]]!r} in row {wrong[0] + 2:,}"
        raise ConfigError([ConfigProblem(table.place, "joules_are", value, f"one of {', '.join(allowed)}")])
    return [Tier(cell) for cell in cells]


def fit_profile(
    name: str, measurements: Sequence[Measurement], place: str, *, denoised: bool = False
) -> Profile:
    """A profile; `denoised`: the least of all trials counts, and a constant overhead is split off.

    Raises ConfigError where the grid has a single prompt or output length: neither term can be told then.
    """
    for key, values in (
        ("prompt_tokens", {m.prompt_tokens for m in measurements}),
        ("output_tokens", {m.output_tokens for m in measurements}),
    ):
        if len(values) < 2:
            value = f"only {', '.join(map(str, values))} of {name}"
            raise ConfigError([ConfigProblem(place, key, value, "two different lengths or more")])
    seconds = _grid(((m.prompt_tokens, m.output_tokens, m.seconds) for m in measurements), denoised)
    with_joules = [m for m in measurements if m.joules is not None]
    joules = None
    if len(with_joules) == len(measurements):
        metered = ((m.prompt_tokens, m.output_tokens, m.joules or 0.0) for m in measurements)
        joules = _linear(_grid(metered, False))
    fitted = _linear(seconds)
    notes = _falling(fitted)
    outputs = [m.output_tokens for m in measurements]
    kept = _without_overhead(fitted) if denoised else fitted
    tiers = {measurement.tier for measurement in measurements}
    worst = next((tier for tier in reversed(Tier) if tier in tiers), Tier.MEASURED)
    return Profile(name, kept, joules, (min(outputs), max(outputs)), notes, worst)


def _grid(rows: Iterable[tuple[int, int, float]], least: bool) -> FloatArray:
    """One row (p, o, value) per pair of lengths: the median of its trials, or the least.

    Other work on the machine only ever adds time, now and then a lot: a mean would keep it.
    """
    trials: dict[tuple[int, int], list[float]] = {}
    for prompt, output, value in rows:
        trials.setdefault((prompt, output), []).append(value)
    return np.array(
        [(p, o, min(values) if least else np.median(values)) for (p, o), values in sorted(trials.items())]
    )


def _linear(grid: FloatArray) -> Linear:
    """Slopes by least squares within prompt lengths; alpha as measured at one token, else the mean rest."""
    plain, with_kv = _slopes(grid, with_kv=False), _slopes(grid, with_kv=True)
    better = _left_out_error(grid, with_kv=True) <= _PAYS * _left_out_error(grid, with_kv=False)
    slope, kv_slope = with_kv if better and min(with_kv) >= 0.0 else plain
    table = {}
    for prompt in np.unique(grid[:, 0]):
        rows = grid[grid[:, 0] == prompt]
        if (rows[:, 1] == 1).any():
            rows = rows[rows[:, 1] == 1]
        rest = rows[:, 2] - (slope + kv_slope * prompt) * (rows[:, 1] - 1.0)
        # A rest below 0 can only be noise; the least measured time bounds it.
        table[int(prompt)] = float(rest.mean()) if rest.mean() > 0.0 else float(rows[:, 2].min())
    return Linear(table, slope, kv_slope)


def _slopes(grid: FloatArray, *, with_kv: bool) -> tuple[float, float]:
    """beta and beta1 (0 without), with every prompt length's own alpha taken out."""
    steps = grid[:, 1] - 1.0
    terms = np.column_stack([steps, steps * grid[:, 0]]) if with_kv else steps[:, None]
    values = grid[:, 2].copy()
    terms = terms.copy()
    for prompt in np.unique(grid[:, 0]):
        rows = grid[:, 0] == prompt
        terms[rows] -= terms[rows].mean(axis=0)
        values[rows] -= values[rows].mean()
    found = np.linalg.lstsq(terms, values, rcond=None)[0]
    return max(0.0, float(found[0])), float(found[1]) if with_kv else 0.0


def _left_out_error(grid: FloatArray, *, with_kv: bool) -> float:
    """Mean error of the increase over output tokens, every prompt length predicted from all others."""
    errors = []
    for prompt in np.unique(grid[:, 0]):
        inside = grid[:, 0] == prompt
        if inside.sum() < 2 or len(np.unique(grid[~inside, 0])) < 2:
            continue
        slope, kv_slope = _slopes(grid[~inside], with_kv=with_kv)
        rows = grid[inside]
        predicted = (slope + kv_slope * prompt) * (rows[:, 1] - rows[0, 1])
        errors.append(np.abs(predicted - (rows[:, 2] - rows[0, 2])).mean())
    return float(np.mean(errors)) if errors else float("inf")


def _without_overhead(fitted: Linear) -> Linear:
    """Splits off what the shortest prompt takes beyond one output token (as in HELM's denoised tables)."""
    first = fitted.for_prompt[min(fitted.for_prompt)]
    overhead = max(0.0, first - fitted.per_output_token)
    table = {tokens: max(value - overhead, 1e-9) for tokens, value in fitted.for_prompt.items()}
    return Linear(table, fitted.per_output_token, fitted.per_output_token_and_prompt_token, overhead)


def _falling(fitted: Linear) -> tuple[str, ...]:
    """Prompt lengths that took less time than a shorter one."""
    ordered = sorted(fitted.for_prompt.items())
    pairs = itertools.pairwise(ordered)
    falls = [longer for (_, before), (longer, after) in pairs if after < before]
    if not falls:
        return ()
    listed = ", ".join(map(str, falls))
    return (f"Time falls at {listed} prompt tokens; the default estimator pools such neighbours.",)
