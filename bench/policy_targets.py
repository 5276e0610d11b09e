"""What the evidence is held against: every target as a row that says whether it was reached."""

from collections.abc import Sequence
from dataclasses import replace

from bench.policy_runs import SEEDS, Result, Results, Setting
from bench.report import Row

TARGETS: dict[str, tuple[float, ...]] = {
    "mixed3.dev": (0.50, 0.55, 0.60),
    "gemma3.dev": (0.45, 0.55, 0.60, 0.63),
}
"""Data set -> alphas."""
RATIOS = {
    ("mixed3.dev", 0.50): (0.70, 0.62, 0.60),
    ("mixed3.dev", 0.55): (0.70, 0.64, 0.63),
    ("mixed3.dev", 0.60): (0.80, 0.74, 0.71),
    ("gemma3.dev", 0.45): (0.95, 0.90, 0.88),
    ("gemma3.dev", 0.55): (1.02, 0.94, 0.91),
    ("gemma3.dev", 0.60): (1.02, 0.90, 0.81),
    ("gemma3.dev", 0.63): (0.92, 0.84, 0.77),
}
"""Energy over the static mixture's: to be reached, excellent, about the offline limit."""
PARTIAL_COST = {"mixed3.dev": 1.08, "gemma3.dev": 1.25}
AUDITED = "biased:3+audit:0.02"


def mean_joules(runs: dict[int, Result]) -> float:
    return sum(run.joules for run in runs.values()) / len(runs)


def least(runs: dict[int, Result], target: float) -> float:
    """Points that the worst seed's final mean lies above the target; negative: below."""
    return 100.0 * (min(run.satisfaction for run in runs.values()) - target)


def worst(runs: dict[int, Result]) -> float:
    """Worst shortfall after request 1,000 of all seeds, points."""
    return 100.0 * max(run.shortfall or 0.0 for run in runs.values())


def complete(results: Results, setting: Setting) -> dict[int, Result] | None:
    """All seeds of a setting; None while some are missing."""
    runs = results.get(setting, {})
    return runs if len(runs) == SEEDS else None


def target_rows(results: Results, static: dict[tuple[str, float], float]) -> list[Row]:
    """Rows of everything that was run completely; `static` holds the static mixture's joules."""
    rows: list[Row] = []
    for (file, alpha), (must, _, _) in RATIOS.items():
        pacer = Setting(file, "pacer", alpha)
        if full := complete(results, pacer):
            where = f"{file}, {100 * alpha:g} %"
            ratio = mean_joules(full) / static[file, alpha]
            rows.append(Row(f"{where}: energy / static mixture", ratio, "", "<=", must))
            rows.append(Row(f"{where}: final mean, worst seed", least(full, alpha), "points", ">=", -0.5))
            rows.append(Row(f"{where}: worst shortfall after 1,000", worst(full), "points", "<=", 2.0))
            rows += _regime_rows(results, pacer, full, where)
    return rows


def _regime_rows(results: Results, pacer: Setting, full: dict[int, Result], where: str) -> list[Row]:
    rows: list[Row] = []
    alpha, base = pacer.target, mean_joules(full)
    bounds: Sequence[tuple[str, float, float, float | None]] = (
        ("delayed:200", 1.05, -0.7, None),
        ("partial:0.2", PARTIAL_COST[pacer.file], -1.0, 3.0),
        (AUDITED, 1.3, -1.5, None),
    )
    for labels, cost, final, shortfall in bounds:
        runs = complete(results, replace(pacer, labels=labels))
        if runs is None:
            continue
        name = f"{where}, {labels}"
        rows.append(Row(f"{name}: energy / full labels", mean_joules(runs) / base, "", "<=", cost))
        rows.append(Row(f"{name}: final mean, worst seed", least(runs, alpha), "points", ">=", final))
        if shortfall is not None:
            rows.append(Row(f"{name}: worst shortfall after 1,000", worst(runs), "points", "<=", shortfall))
    if drift := complete(results, replace(pacer, order="drift")):
        rows.append(Row(f"{where}, drift: final mean, worst seed", least(drift, alpha), "points", ">=", -0.5))
    return rows
