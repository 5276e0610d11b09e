"""Frontier, batch rule, gains and recommendation of every experiment in a sweep."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.pareto.frontier import frontier, has_energy
from planner.pareto.rules import (
    Gain,
    Limits,
    Recommendation,
    batch_rule,
    batch_sweep,
    gains,
    knee,
    recommend,
)
from planner.pareto.sources import Sweep
from planner.pareto.sweep import Estimate, Noise, Point, points, pooled_noise

LATENCY_FACTORS = (2.0, 4.0)
"""L of the batch rule."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One model in one group of runs."""

    model: str
    group: str
    points: tuple[Point, ...]
    frontier: tuple[Point, ...]
    knee_batch: int | None
    """Smallest batch size of 90 % of the throughput; None without a sweep of one replica."""
    batch_rules: dict[float, int | None]
    """L -> batch size; None where the rule's reference was not measured."""
    gains: tuple[Gain, ...]
    recommendation: Recommendation
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """All experiments of a sweep."""

    place: str
    noise: Noise
    limits: Limits
    experiments: tuple[Experiment, ...]
    notes: tuple[str, ...]


def run_study(sweep: Sweep, limits: Limits, models: Sequence[str] = (), groups: Sequence[str] = ()) -> Study:
    """Analyses a sweep; `models` and `groups` choose experiments, empty: all."""
    noise = pooled_noise(sweep.runs)
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points(sweep.runs, noise):
        at = point.configuration
        if (not models or at.model in models) and (not groups or at.group in groups):
            found.setdefault((at.group, at.model), []).append(point)
    experiments = tuple(_experiment(model, group, p, limits) for (group, model), p in found.items())
    return Study(sweep.place, noise, limits, experiments, (*sweep.notes, *_noise_note(noise)))


def _noise_note(noise: Noise) -> tuple[str, ...]:
    if noise.freedom:
        return ()
    return ("No configuration was run twice: intervals assume a relative standard deviation of 2 %.",)


def _experiment(model: str, group: str, found: Sequence[Point], limits: Limits) -> Experiment:
    sweep = batch_sweep(found)
    notes = () if has_energy(found) else ("Energy was not measured everywhere and is not compared.",)
    return Experiment(
        model,
        group,
        tuple(found),
        frontier(found),
        knee(sweep) if len(sweep) > 1 else None,
        {factor: batch_rule(sweep, factor) for factor in LATENCY_FACTORS},
        gains(found),
        recommend(found, limits),
        (*notes, *_falls(sweep)),
    )


def _falls(sweep: dict[int, Point]) -> tuple[str, ...]:
    """Where a larger batch gives less throughput for sure."""
    return tuple(
        f"Throughput falls from batch {before} to {after}."
        for before, after in itertools.pairwise(sweep)
        if sweep[after].throughput.mean < sweep[before].throughput.mean
        and sweep[after].throughput.differs(sweep[before].throughput)
    )


def document(study: Study) -> dict[str, Any]:
    """Everything as JSON values; times in seconds."""
    return {
        "source": study.place,
        "relative_standard_deviations": study.noise.shares,
        "degrees_of_freedom": study.noise.freedom,
        "experiments": [_experiment_document(experiment) for experiment in study.experiments],
        "notes": list(study.notes),
    }


def _experiment_document(experiment: Experiment) -> dict[str, Any]:
    on_frontier = {point.configuration for point in experiment.frontier}
    chosen, baseline = experiment.recommendation.chosen, experiment.recommendation.baseline
    return {
        "model": experiment.model,
        "group": experiment.group,
        "points": [_point_document(p, p.configuration in on_frontier) for p in experiment.points],
        "knee_batch": experiment.knee_batch,
        "batch_rule": {f"{factor:g}": batch for factor, batch in experiment.batch_rules.items()},
        "gains": [
            {
                "replicated": gain.replicated.configuration.name,
                "single": gain.single.configuration.name,
                "throughput": gain.throughput,
                "joules_per_token": gain.energy,
                "energy_change_is_sure": gain.energy_is_sure,
            }
            for gain in experiment.gains
        ],
        "recommended": None if chosen is None else chosen.configuration.name,
        "baseline": None if baseline is None else baseline.configuration.name,
        "reasons": list(experiment.recommendation.reasons),
        "notes": list(experiment.notes),
    }


def _point_document(point: Point, on_frontier: bool) -> dict[str, Any]:
    return {
        "batch": point.configuration.batch,
        "replicas": point.configuration.replicas,
        "variant": point.configuration.variant,
        "repeats": point.repeats,
        "tokens_per_second": _pair(point.throughput),
        "ttft_seconds": _pair(point.ttft),
        "itl_seconds": _pair(point.itl),
        "itl_p50_seconds": point.itl_p50_seconds,
        "itl_p99_seconds": point.itl_p99_seconds,
        "joules_per_token": None if point.joules_per_token is None else _pair(point.joules_per_token),
        "frontier": on_frontier,
    }


def _pair(estimate: Estimate) -> dict[str, float]:
    return {"mean": estimate.mean, "half_width": estimate.half}
