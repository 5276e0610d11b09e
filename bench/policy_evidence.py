"""What the evidence page and its figures are made of: finished runs beside what hindsight gives."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.policy_runs import (
    ENERGY_WEIGHTS,
    EXPLORATION_FACTORS,
    GRID_SEEDS,
    PUBLISHED,
    SEEDS,
    Result,
    Results,
    Setting,
)
from bench.policy_targets import mean_joules
from bench.report import Row
from planner.replay.hindsight import Bill
from planner.replay.labels import parse_labels
from planner.replay.outcomes import Outcomes
from planner.replay.sources.parquet import read_parquet
from planner.replay.streams import Order
from planner.replay.study import Question, hindsight_baselines

MODES = tuple(PUBLISHED)
KEPT_POINTS = -0.5
"""A final mean this many points above its target still counts as kept."""


@dataclass
class Evidence:
    """All that the page is made of."""

    files: dict[str, Path]
    targets: dict[str, tuple[float, ...]]
    results: Results
    costs: list[Row]
    runs_left: int
    machine: str

    @cached_property
    def outcomes(self) -> dict[str, Outcomes]:
        return {name: read_parquet(self.files[name]) for name in self.targets}

    @cached_property
    def baselines(self) -> dict[tuple[str, str], dict[str, dict[float, Bill]]]:
        """(file, order) -> baseline -> alpha -> bill."""
        return {
            (name, order.value): hindsight_baselines(
                self.outcomes[name], Question((), alphas, order, parse_labels("full"), SEEDS)
            )
            for name, alphas in self.targets.items()
            for order in (Order.RANDOM, Order.DRIFT)
        }

    def static(self, file: str, alpha: float, order: str = "random") -> float:
        """Joules of the static mixture in hindsight; a sorted stream has the same averages."""
        known = "drift" if order == "drift" else "random"
        return self.baselines[file, known]["static-mixture"][alpha].energy_joules

    @property
    def cells(self) -> list[tuple[str, float]]:
        return [(file, alpha) for file, alphas in self.targets.items() for alpha in alphas]


def best_in_hindsight(
    evidence: Evidence, mode: str, file: str, alpha: float
) -> tuple[Setting, dict[int, Result]] | None:
    """The cheapest point of the whole grid that keeps the target, else the one nearest to it."""
    points = [
        (s, r) for s, r in evidence.results.items() if _is_grid(s, mode, file, alpha) and len(r) >= GRID_SEEDS
    ]
    if len(points) < len(ENERGY_WEIGHTS) * len(EXPLORATION_FACTORS):
        return None
    kept = [point for point in points if 100 * (final_mean(point[1]) - alpha) >= KEPT_POINTS]
    if kept:
        return min(kept, key=lambda point: mean_joules(point[1]))
    return max(points, key=lambda point: final_mean(point[1]))


def _is_grid(setting: Setting, mode: str, file: str, alpha: float) -> bool:
    same = (setting.policy, setting.file, setting.target) == (mode, file, alpha)
    return same and setting.energy_weight is not None


def final_mean(runs: dict[int, Result]) -> float:
    """Mean satisfaction over the seeds."""
    return sum(run.satisfaction for run in runs.values()) / len(runs)


def by_weight(evidence: Evidence, mode: str, file: str, alpha: float) -> list[tuple[float, float, float]]:
    """V, energy over static, points above the target; at the published c."""
    found = []
    for weight in ENERGY_WEIGHTS:
        point = Setting(file, mode, alpha, energy_weight=weight, exploration_scale=PUBLISHED[mode][1])
        runs = evidence.results.get(point, {})
        if len(runs) >= GRID_SEEDS:
            ratio = mean_joules(runs) / evidence.static(file, alpha)
            found.append((weight, ratio, 100 * (final_mean(runs) - alpha)))
    return found
