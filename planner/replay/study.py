"""A study: all runs of one question about one data set, and the document that answers it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.replay.driver import Driver, RunSettings, Trace
from planner.replay.hindsight import Bill, all_bills
from planner.replay.labels import LabelRegime, draw_judging
from planner.replay.metrics import Metrics, measure
from planner.replay.outcomes import Outcomes
from planner.replay.priors import PriorKind, hindsight_priors, make_priors
from planner.replay.streams import Order, Stream, make_stream
from services.core.events import FloatArray
from services.core.policies.registry import POLICY_NAMES, policy_from_config

NEEDS_HINDSIGHT = "static-mixture"
"""The policy that knows the averages of the very stream that it serves."""
_QUARTERS = (0.25, 0.5, 0.75)
_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Question:
    """What a study asks.

    Attributes:
        policies: names as in `registry.POLICY_NAMES`.
        targets: alphas, each in (0, 1).
        order: how requests arrive.
        labels: which answers get judged.
        seeds: how many seeds, from 0, >= 1.
        prior: what is believed beforehand.
        class_per_benchmark: whether every benchmark is an SLA class of its own.
        snapshot_every: requests between two snapshots of the router, >= 1.
        parameters: of every policy, by the policy's name.

    """

    policies: tuple[str, ...]
    targets: tuple[float, ...]
    order: Order
    labels: LabelRegime
    seeds: int
    prior: PriorKind = PriorKind.ROUGH
    class_per_benchmark: bool = False
    snapshot_every: int = 1
    parameters: Mapping[str, Mapping[str, object]] | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run. `seconds_per_thousand_requests` is wall time, everything else repeats bit for bit."""

    policy: str
    min_satisfaction: float
    seed: int
    metrics: Metrics
    seconds_per_thousand_requests: float
    trace: Trace | None
    """None where nobody asked for it; a study keeps those of seed 0, for figures."""


@dataclass(frozen=True, slots=True)
class Study:
    """A question, its runs, and the baselines of each target."""

    outcomes: Outcomes
    question: Question
    runs: tuple[RunResult, ...]
    baselines: Mapping[str, Mapping[float, Bill]]
    """Baseline -> alpha -> what it costs and gives."""
    notes: tuple[str, ...]
    """What a reader must know: of the data, and targets that nobody reaches."""


def default_policies() -> tuple[str, ...]:
    """All policies; single models are baselines, which give the same without a run."""
    return tuple(name for name in POLICY_NAMES if not name.startswith("single:"))


def default_targets(outcomes: Outcomes) -> tuple[float, ...]:
    """Quarters of the way from the cheapest model's mean satisfaction to the best one's, to 3 decimals.

    Where the cheapest model is the best, what it reaches, rounded down.
    """
    means = outcomes.satisfaction.mean(axis=0)
    low, high = float(means[outcomes.energy_joules.mean(axis=0).argmin()]), float(means.max())
    if low == high:
        targets = {math.floor(high * 10**_DECIMALS) / 10**_DECIMALS}
    else:
        targets = {round(low + share * (high - low), _DECIMALS) for share in _QUARTERS}
    return tuple(sorted(min(max(target, 0.001), 0.999) for target in targets))


def run_one(
    outcomes: Outcomes,
    features: FloatArray,
    question: Question,
    policy_name: str,
    min_satisfaction: float,
    seed: int,
    on_request: Callable[[], None] = lambda: None,
    *,
    keep_trace: bool = False,
) -> RunResult:
    """One run of a question. Raises ValueError for a policy or parameter that does not exist."""
    parameters = (question.parameters or {}).get(policy_name, {})
    policy = policy_from_config(policy_name, parameters, outcomes.model_ids)
    stream = make_stream(outcomes, question.order, seed)
    priors = make_priors(outcomes, question.prior, seed)
    if policy_name == NEEDS_HINDSIGHT:
        priors = hindsight_priors(outcomes, stream)
    judging = draw_judging(question.labels, len(outcomes), seed)
    settings = RunSettings(
        min_satisfaction,
        f"{outcomes.dataset}/{seed}",
        question.class_per_benchmark,
        question.snapshot_every,
    )
    began = time.perf_counter()
    run = Driver(outcomes, features, stream, judging, policy, priors, settings).run(on_request)
    seconds = time.perf_counter() - began
    return RunResult(
        policy.name,
        min_satisfaction,
        seed,
        measure(run.trace, len(outcomes.model_ids), min_satisfaction),
        1000.0 * seconds / len(outcomes),
        run.trace if keep_trace else None,
    )


def run_study(
    outcomes: Outcomes,
    features: FloatArray,
    question: Question,
    on_request: Callable[[], None] = lambda: None,
) -> Study:
    """All runs of a question, one after the other, and its baselines."""
    runs = tuple(
        run_one(outcomes, features, question, policy, target, seed, on_request, keep_trace=seed == 0)
        for policy, target, seed in combinations(question)
    )
    return make_study(outcomes, question, runs)


def combinations(question: Question) -> Iterator[tuple[str, float, int]]:
    """Policy, alpha and seed of every run, in order."""
    for policy in question.policies:
        for target in question.targets:
            for seed in range(question.seeds):
                yield policy, target, seed


def make_study(outcomes: Outcomes, question: Question, runs: Sequence[RunResult]) -> Study:
    """Adds baselines and notes to finished runs."""
    baselines = hindsight_baselines(outcomes, question)
    return Study(outcomes, question, tuple(runs), baselines, _notes(outcomes, question, runs, baselines))


def hindsight_baselines(outcomes: Outcomes, question: Question) -> dict[str, dict[float, Bill]]:
    """Every baseline at every alpha. Under drift, outcomes differ by seed: the mean over the seeds."""
    seeds = range(question.seeds) if question.order is Order.DRIFT else (0,)
    streams = [make_stream(outcomes, question.order, seed) for seed in seeds]
    result: dict[str, dict[float, Bill]] = {}
    for target in question.targets:
        bills = [_bills(outcomes, stream, target, seed) for seed, stream in zip(seeds, streams, strict=True)]
        for name in bills[0]:
            result.setdefault(name, {})[target] = _mean([by_name[name] for by_name in bills])
    return result


def _bills(outcomes: Outcomes, stream: Stream, target: float, seed: int) -> dict[str, Bill]:
    topics = [outcomes.benchmarks[index] for index in stream.indices.tolist()]
    return all_bills(outcomes.model_ids, stream.satisfaction, stream.energy_joules, topics, target, seed)


def _mean(bills: Sequence[Bill]) -> Bill:
    joules = [bill.energy_joules for bill in bills]
    return Bill(float(np.mean(joules)), float(np.mean([bill.satisfaction for bill in bills])))


def _notes(
    outcomes: Outcomes,
    question: Question,
    runs: Sequence[RunResult],
    baselines: Mapping[str, Mapping[float, Bill]],
) -> tuple[str, ...]:
    notes = list(outcomes.notes)
    singles = [f"single:{model}" for model in outcomes.model_ids]
    for target in question.targets:
        best = max(singles, key=lambda name: baselines[name][target].satisfaction)
        reach = baselines[best][target].satisfaction
        if reach >= target:
            continue
        shortfalls = ", ".join(
            f"{policy} {100 * (target - _satisfaction(runs, policy, target)):.1f}"
            for policy in dict.fromkeys(run.policy for run in runs)
        )
        notes.append(
            f"No model reaches {target:g}: the best, {best.removeprefix('single:')}, has {reach:.4f}. "
            f"Shortfall in points: {shortfalls}."
        )
    return tuple(notes)


def _satisfaction(runs: Sequence[RunResult], policy: str, target: float) -> float:
    return float(
        np.mean([r.metrics.satisfaction for r in runs if r.policy == policy and r.min_satisfaction == target])
    )


def document(study: Study) -> dict[str, Any]:
    """The study as JSON values; README and `docs/evidence.md` explain every key."""
    outcomes, question = study.outcomes, study.question
    means, joules = outcomes.satisfaction.mean(axis=0), outcomes.energy_joules.mean(axis=0)
    return {
        "dataset": outcomes.dataset,
        "requests": len(outcomes),
        "models": {
            model: {"satisfaction": float(mean), "energy_joules": float(cost)}
            for model, mean, cost in zip(outcomes.model_ids, means, joules, strict=True)
        },
        "prior": question.prior.value,
        "class_per_benchmark": question.class_per_benchmark,
        "snapshot_every": question.snapshot_every,
        "notes": list(study.notes),
        "runs": [_run_document(study, run) for run in study.runs],
        "baselines": {
            name: {f"{target:g}": bill.energy_joules for target, bill in bills.items()}
            for name, bills in study.baselines.items()
        },
    }


def _run_document(study: Study, run: RunResult) -> dict[str, Any]:
    metrics = run.metrics
    return {
        "policy": run.policy,
        "min_satisfaction": run.min_satisfaction,
        "order": study.question.order.value,
        "labels": study.question.labels.text,
        "seed": run.seed,
        "energy_joules_per_request": metrics.energy_joules_per_request,
        "satisfaction": metrics.satisfaction,
        "exploration_energy_share": metrics.exploration_energy_share,
        "first_compliant_request": metrics.first_compliant_request,
        "worst_shortfall_after_1000": metrics.worst_shortfall_after_1000,
        "model_shares": dict(zip(study.outcomes.model_ids, metrics.model_shares, strict=True)),
        "seconds_per_thousand_requests": run.seconds_per_thousand_requests,
    }
