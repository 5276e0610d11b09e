"""Baselines against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from planner.replay.hindsight import (
    Bill,
    all_bills,
    cheapest_shares,
    cheapest_single,
    clairvoyant,
    domain_mixture,
    random_with_constraint,
    static_mixture,
)
from services.core.events import FloatArray
from tests.unit.replay_data import outcomes

GRID = [i / 8 for i in range(9)]


def brute_force(weights: FloatArray, means: FloatArray, costs: FloatArray, target: float) -> float | None:
    """Least cost over every vertex: one model per group, or one group split between two models to meet it."""
    groups, models = means.shape
    best: float | None = None
    for choice in itertools.product(range(models), repeat=groups):
        rows = np.arange(groups)
        mean, cost = weights @ means[rows, list(choice)], weights @ costs[rows, list(choice)]
        found = [cost] if mean >= target - 1e-12 else []
        for group, other in itertools.product(range(groups), range(models)):
            gain = weights[group] * (means[group, other] - means[group, choice[group]])
            if gain > 1e-12 and mean < target <= mean + gain + 1e-12:
                share = (target - mean) / gain
                found.append(
                    cost + share * weights[group] * (costs[group, other] - costs[group, choice[group]])
                )
        if found and (best is None or min(found) < best):
            best = min(found)
    return best


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_greedy_programme_is_optimal(data: st.DataObject) -> None:
    groups, models = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    shape = (groups, models)
    means = data.draw(hnp.arrays(np.float64, shape, elements=st.sampled_from(GRID)))
    costs = data.draw(hnp.arrays(np.float64, shape, elements=st.integers(1, 20).map(float)))
    weights = data.draw(hnp.arrays(np.float64, groups, elements=st.integers(1, 5).map(float)))
    weights /= weights.sum()
    target = data.draw(st.floats(0.05, 0.95))
    bill = cheapest_shares(weights, means, costs, target)
    exact = brute_force(weights, means, costs, target)
    if exact is None:
        assert bill.satisfaction == pytest.approx(float(weights @ means.max(axis=1)))
        assert bill.satisfaction < target
    else:
        assert bill.energy_joules == pytest.approx(exact)
        assert bill.satisfaction >= target - 1e-9


def test_one_group_is_the_static_mixture_and_one_per_request_the_clairvoyant() -> None:
    data = outcomes(30)
    means, costs = data.satisfaction.mean(axis=0), data.energy_joules.mean(axis=0)
    for target in (0.35, 0.5, 0.65):
        alone = cheapest_shares(np.ones(1), means[None], costs[None], target)
        assert alone.energy_joules == pytest.approx(static_mixture(means, costs, target).energy_joules)
        single_requests = [str(i) for i in range(30)]
        apart = domain_mixture(data.satisfaction, data.energy_joules, single_requests, target)
        known = clairvoyant(data.satisfaction, data.energy_joules, target)
        assert apart.energy_joules == pytest.approx(known.energy_joules)


def test_more_knowledge_never_costs_more() -> None:
    data = outcomes(200)
    bills = all_bills(data.model_ids, data.satisfaction, data.energy_joules, data.benchmarks, 0.55, 0)
    order = ["clairvoyant", "domain-mixture", "static-mixture", "cheapest-single"]
    joules = [bills[name].energy_joules for name in order]
    assert joules == sorted(joules)
    assert joules[0] < joules[1] < joules[2]
    assert bills["single:large"].energy_joules == pytest.approx(data.energy_joules[:, 2].mean())


def test_the_cheapest_single_is_feasible_or_the_best() -> None:
    bills = [Bill(1.0, 0.4), Bill(5.0, 0.7), Bill(3.0, 0.7), Bill(4.0, 0.6)]
    assert cheapest_single(bills, 0.6) == Bill(3.0, 0.7)
    assert cheapest_single(bills, 0.55) == Bill(3.0, 0.7)
    assert cheapest_single(bills, 0.3) == Bill(1.0, 0.4)
    assert cheapest_single(bills, 0.9) == Bill(3.0, 0.7)


def test_an_unreachable_target_is_served_by_the_best() -> None:
    data = outcomes(100)
    bills = all_bills(data.model_ids, data.satisfaction, data.energy_joules, data.benchmarks, 0.999, 0)
    best = bills["single:large"]
    assert bills["static-mixture"] == best
    assert bills["random-with-constraint"].satisfaction < 0.999
    assert bills["clairvoyant"].satisfaction == pytest.approx(data.satisfaction.max(axis=1).mean())


def test_random_with_constraint_keeps_its_target_and_repeats_with_its_seed() -> None:
    data = outcomes(2000)
    first, again = (random_with_constraint(data.satisfaction, data.energy_joules, 0.6, 5) for _ in range(2))
    assert first == again
    assert first.satisfaction == pytest.approx(0.6, abs=0.02)
    loose = random_with_constraint(data.satisfaction, data.energy_joules, 0.01, 5)
    assert loose.energy_joules == pytest.approx(data.energy_joules.mean(), rel=0.02)
