"""Baselines: what the same requests would have cost with less freedom, or with knowledge of the future."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.replay.metrics import ROUNDING
from services.core.events import FloatArray
from services.core.policies.baselines import cheapest_mixture

RANDOM_RUNS = 20
_RANDOM_STREAM = 5


@dataclass(frozen=True, slots=True)
class Bill:
    """What a way of serving costs and gives, per request.

    Attributes:
        energy_joules: mean joules.
        satisfaction: mean satisfaction; below the target only where nothing of this kind reaches it.

    """

    energy_joules: float
    satisfaction: float


def all_bills(
    model_ids: Sequence[str],
    satisfaction: FloatArray,
    joules: FloatArray,
    benchmarks: Sequence[str],
    min_satisfaction: float,
    seed: int,
) -> dict[str, Bill]:
    """Every baseline by name, from outcomes of shape (n, M) with the topic of each request."""
    means, costs = satisfaction.mean(axis=0), joules.mean(axis=0)
    bills = {
        f"single:{model}": Bill(float(cost), float(mean))
        for model, cost, mean in zip(model_ids, costs, means, strict=True)
    }
    bills["cheapest-single"] = cheapest_single(list(bills.values()), min_satisfaction)
    bills["random-with-constraint"] = random_with_constraint(satisfaction, joules, min_satisfaction, seed)
    bills["static-mixture"] = static_mixture(means, costs, min_satisfaction)
    bills["domain-mixture"] = domain_mixture(satisfaction, joules, benchmarks, min_satisfaction)
    bills["clairvoyant"] = clairvoyant(satisfaction, joules, min_satisfaction)
    return bills


def cheapest_single(singles: Sequence[Bill], min_satisfaction: float) -> Bill:
    """The cheapest model that reaches the target alone; where none does, the best, then the cheapest."""
    feasible = [bill for bill in singles if bill.satisfaction >= min_satisfaction - ROUNDING]
    if feasible:
        return min(feasible, key=lambda bill: bill.energy_joules)
    return min(singles, key=lambda bill: (-bill.satisfaction, bill.energy_joules))


def static_mixture(means: FloatArray, costs: FloatArray, min_satisfaction: float) -> Bill:
    """The cheapest mixture of at most two models whose averages, shapes (M,), reach the target."""
    weights = cheapest_mixture(means, costs, np.ones(len(means), bool), min_satisfaction)
    return Bill(float(weights @ costs), float(weights @ means))


def random_with_constraint(
    satisfaction: FloatArray, joules: FloatArray, min_satisfaction: float, seed: int
) -> Bill:
    """MESS+'s random baseline: uniform over the models that keep the running mean at the target.

    A model qualifies if its mean satisfaction (known in hindsight), added to the labels so far, keeps their
    mean at the target; if none does, the best model serves. Mean of 20 runs.
    """
    rng = np.random.default_rng((seed, _RANDOM_STREAM))
    means = satisfaction.mean(axis=0)
    best = np.arange(means.size) == int(means.argmax())
    labels, spent = np.zeros(RANDOM_RUNS), np.zeros(RANDOM_RUNS)
    for step, (labels_here, joules_here) in enumerate(zip(satisfaction, joules, strict=True), start=1):
        qualifies = labels[:, None] + means >= min_satisfaction * step - ROUNDING
        qualifies |= ~qualifies.any(axis=1, keepdims=True) & best
        chosen = np.where(qualifies, rng.random((RANDOM_RUNS, means.size)), -1.0).argmax(axis=1)
        labels += labels_here[chosen]
        spent += joules_here[chosen]
    count = len(satisfaction)
    return Bill(float(spent.mean()) / count, float(labels.mean()) / count)


def domain_mixture(
    satisfaction: FloatArray, joules: FloatArray, benchmarks: Sequence[str], min_satisfaction: float
) -> Bill:
    """The cheapest mixture with shares of its own per benchmark, whose overall mean reaches the target."""
    names, group = np.unique(np.array(benchmarks), return_inverse=True)
    counts = np.bincount(group)
    sums = np.zeros((2, len(names), satisfaction.shape[1]))
    np.add.at(sums[0], group, satisfaction)
    np.add.at(sums[1], group, joules)
    means, costs = sums / counts[:, None]
    return cheapest_shares(counts / len(satisfaction), means, costs, min_satisfaction)


def clairvoyant(satisfaction: FloatArray, joules: FloatArray, min_satisfaction: float) -> Bill:
    """The least joules of any choice per request that reaches the target, every outcome known beforehand.

    One request may be split between two models, which makes it a lower bound by at most one request.
    """
    count = len(satisfaction)
    return cheapest_shares(np.full(count, 1.0 / count), satisfaction, joules, min_satisfaction)


def cheapest_shares(
    weights: FloatArray, means: FloatArray, costs: FloatArray, min_satisfaction: float
) -> Bill:
    """The linear programme behind both: shares of M models in each of D groups of these weights, shape (D,).

    Minimises sum_d w_d * (shares_d . costs_d) with sum_d w_d * (shares_d . means_d) >= alpha; `means` and
    `costs` have shape (D, M). In a group only the lower convex hull of its (mean, cost) points matters, and
    the groups are tied by one constraint alone: starting from the cheapest point of each, buying the hull
    edges with the least joules per satisfaction first is optimal (the continuous knapsack; Dantzig 1957).
    """
    reached = spent = 0.0
    edges: list[tuple[float, float, float]] = []
    for weight, points_means, points_costs in zip(
        weights.tolist(), means.tolist(), costs.tolist(), strict=True
    ):
        hull = _lower_hull(points_means, points_costs)
        reached += weight * hull[0][0]
        spent += weight * hull[0][1]
        for (mean, cost), (next_mean, next_cost) in itertools.pairwise(hull):
            gain, price = next_mean - mean, next_cost - cost
            edges.append((price / gain, weight * gain, weight * price))
    for _, gain, price in sorted(edges):
        share = min(1.0, (min_satisfaction - reached) / gain)
        if share <= 0.0:
            break
        reached += share * gain
        spent += share * price
    return Bill(spent, reached)


def _lower_hull(means: list[float], costs: list[float]) -> list[tuple[float, float]]:
    """From the cheapest point on, better and dearer points with rising joules per satisfaction."""
    points = sorted(zip(means, costs, strict=True), key=lambda point: (point[1], -point[0]))
    hull = [points[0]]
    for point in points[1:]:
        if point[0] <= hull[-1][0]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _slope(low: tuple[float, float], high: tuple[float, float]) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])
