"""A study's runs brought together over their seeds, and as a table for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from planner.replay.study import RunResult, Study


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, smallest and largest value over the seeds."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(float(np.mean(values)), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Line:
    """One policy at one target, over all seeds."""

    policy: str
    min_satisfaction: float
    joules: Spread
    """Per request, exploration included."""
    ratio: float
    """Mean joules over those of the static mixture in hindsight."""
    satisfaction: Spread
    shortfall: Spread | None
    """Worst one after request 1,000; None for short streams."""
    exploration_share: float
    """Of the joules."""
    seconds_per_thousand: float


def lines(study: Study) -> list[Line]:
    """One line per policy and target, in the question's order."""
    runs: dict[tuple[str, float], list[RunResult]] = {}
    for run in study.runs:
        runs.setdefault((run.policy, run.min_satisfaction), []).append(run)
    return [_line(study, policy, target, found) for (policy, target), found in runs.items()]


def _line(study: Study, policy: str, target: float, runs: Sequence[RunResult]) -> Line:
    metrics = [run.metrics for run in runs]
    joules = Spread.of([m.energy_joules_per_request for m in metrics])
    static = study.baselines["static-mixture"][target].energy_joules
    shortfalls = [s for m in metrics if (s := m.worst_shortfall_after_1000) is not None]
    return Line(
        policy,
        target,
        joules,
        joules.mean / static,
        Spread.of([m.satisfaction for m in metrics]),
        Spread.of(shortfalls) if shortfalls else None,
        float(np.mean([m.exploration_energy_share for m in metrics])),
        float(np.mean([run.seconds_per_thousand_requests for run in runs])),
    )


HEADINGS = (
    "policy",
    "target",
    "J/request",
    "of static mixture",
    "satisfaction",
    "least",
    "worst shortfall after 1,000",
    "exploration energy",
    "s/1,000 requests",
)


def cells(line: Line) -> tuple[str, ...]:
    """A line as texts, parallel to `HEADINGS`."""
    shortfall = "-" if line.shortfall is None else f"{100 * line.shortfall.high:.1f} points"
    return (
        line.policy,
        f"{100 * line.min_satisfaction:.1f} %",
        f"{line.joules.mean:.4g} ({line.joules.low:.4g} to {line.joules.high:.4g})",
        f"{line.ratio:.3f}",
        f"{100 * line.satisfaction.mean:.2f} %",
        f"{100 * line.satisfaction.low:.2f} %",
        shortfall,
        f"{100 * line.exploration_share:.1f} %",
        f"{line.seconds_per_thousand:.2f}",
    )


def study_table(study: Study) -> Table:
    """Policies by target, then the baselines."""
    question = study.question
    table = Table(
        title=f"{study.outcomes.dataset}: {len(study.outcomes):,} requests, {question.order.value} order, "
        f"{question.labels.text} labels, seeds: {question.seeds}"
    )
    for heading in HEADINGS:
        # A narrow terminal breaks numbers into lines; cut off, they would be wrong.
        table.add_column(heading, justify="left" if heading == "policy" else "right", overflow="fold")
    for line in lines(study):
        table.add_row(*cells(line))
    return table


def baseline_table(study: Study) -> Table:
    """Joules per request of every baseline by target; in parentheses the satisfaction of one that misses."""
    table = Table("baseline (hindsight)", title="What could have been had, J/request")
    for target in study.question.targets:
        table.add_column(f"{100 * target:.1f} %", justify="right")
    for name in study.baselines:
        table.add_row(*baseline_cells(study, name))
    return table


def baseline_cells(study: Study, name: str) -> tuple[str, ...]:
    """A baseline's name, then its joules by target."""
    bills = [(target, study.baselines[name][target]) for target in study.question.targets]
    return (
        name,
        *(
            f"{bill.energy_joules:.4g}"
            + ("" if bill.satisfaction >= target - 1e-6 else f" ({100 * bill.satisfaction:.1f} %)")
            for target, bill in bills
        ),
    )
