import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.demo.baselines import Contender, Outcomes, random_constrained, single_models, static_mixture
from cli.demo.summary import BaselineAnswer, RoutedRequest, met_from, summarize
from cli.demo.verdict import joules, verdict, weights

IDLE = {"small": 0.5, "large": 1.0}


def request(index, model, satisfaction, served, explored=0.0):
    return RoutedRequest(
        str(index), "kind", model, satisfaction, served, explored, float(index), float(index)
    )


def answers(satisfaction, energy):
    return {str(i): BaselineAnswer(s, e) for i, (s, e) in enumerate(zip(satisfaction, energy, strict=True))}


MEASURED = {"small": answers([1, 0, 0, 0], [1, 1, 1, 1]), "large": answers([1, 1, 1, 0], [4, 4, 4, 4])}
RUN = [request(0, "large", 0.0, 4.0, 1.0), request(1, "large", 1.0, 4.0), request(2, "small", 1.0, 1.0)]
RUN += [request(3, "small", 0.0, 2.0)]


def summary(run=RUN, measured=MEASURED, min_satisfaction=0.5, idle=IDLE, seconds=8.0):
    return summarize(
        run, measured, min_satisfaction=min_satisfaction, idle_watts=idle, duration_seconds=seconds, seed=1
    )


def test_router_figures_by_hand():
    result = summary()
    assert result.router.joules_per_request == pytest.approx((5 + 4 + 1 + 2) / 4)
    assert result.router.mean_satisfaction == 0.5
    assert result.exploration_share == pytest.approx(1 / 12)
    assert result.model_shares == {"small": 0.5, "large": 0.5}
    assert result.trace.running_satisfaction == pytest.approx([0, 1 / 2, 2 / 3, 1 / 2])
    assert result.met_from == 2
    assert result.met
    assert result.satisfaction_by_kind == {"kind": 0.5}
    assert result.standard_error == pytest.approx(np.std([0, 1, 1, 0], ddof=1) / 2)


def test_baseline_figures_by_hand():
    result = summary()
    assert [single.joules_per_request for single in result.singles] == [1, 4]
    assert [single.mean_satisfaction for single in result.singles] == [0.25, 0.75]
    assert result.cheapest_feasible.name == "single:large"
    assert result.static_mixture.weights == pytest.approx({"small": 0.5, "large": 0.5})
    assert result.static_mixture.joules_per_request == pytest.approx(2.5)
    assert result.static_mixture.mean_satisfaction == pytest.approx(0.5)


def test_idle_energy_is_charged_for_the_models_each_needs():
    result = summary()
    assert [single.idle_joules_per_request for single in result.singles] == [1, 2]
    assert result.router.total_joules == pytest.approx(3 + 3)
    assert result.static_mixture.total_joules == pytest.approx(2.5 + 3)


def test_with_idle_energy_one_model_may_beat_every_mixture_of_two():
    result = summary(seconds=80.0)
    assert result.static_mixture.weights == pytest.approx({"small": 0.5, "large": 0.5})
    assert result.static_mixture_with_idle.weights == {"large": 1.0}
    assert result.with_idle.mixture_joules == pytest.approx(4 + 20)


def test_the_mixture_skips_a_model_above_the_hull():
    measured = MEASURED | {"middle": answers([1, 1, 0, 0], [3.9, 3.9, 3.9, 3.9])}
    result = summary(measured=measured, idle=IDLE | {"middle": 0.0}, seconds=0.0)
    assert set(result.static_mixture.weights) == {"small", "large"}
    assert result.cheapest_feasible.name == "single:middle"


def test_an_infeasible_target_gives_the_best_model_and_says_so():
    result = summary(min_satisfaction=0.9)
    assert result.cheapest_feasible is None
    assert result.static_mixture.weights == {"large": 1.0}
    assert not result.without_idle.mixture_feasible
    assert not result.without_idle.won
    assert "no mixture of these models reaches the target (best: large with 75.0 %)" in verdict(result)[1]


@pytest.mark.parametrize(
    ("running", "expected"),
    [([1.0, 0.4, 0.5], 3), ([1.0, 1.0], 1), ([1.0, 0.4], None), ([0.0], None), ([0.5], 1)],
)
def test_met_from_is_the_request_after_the_last_one_below(running, expected):
    assert met_from(np.array(running), 0.5) == expected


def test_a_dearer_router_lost():
    sla, without_idle, with_idle, prices, exploration = verdict(summary())
    assert sla.startswith(
        "SLA met: 50.0 % of the answers were satisfactory, 0.0 points above the target of 50.0 %"
    )
    assert "LOST to the best static mixture (50 % small + 50 % large): 3 J against 2.5 J" in without_idle
    assert "20.0 % more" in without_idle
    assert "LOST" in with_idle
    assert "the router's choices cost 2.75 J against 2.5 J per request, 10.0 % more" in prices
    assert exploration == "Exploration took 8.3 % of the router's energy."


def test_a_cheaper_router_that_kept_the_target_beat_the_mixture():
    run = [request(i, "small", float(i < 2), 1.0) for i in range(4)]
    result = summary(run)
    assert result.without_idle.won
    assert result.without_idle.saving == pytest.approx(0.6)
    assert "BEAT" in verdict(result)[1]


def test_a_cheaper_router_that_missed_the_target_beat_nobody():
    run = [request(i, "small", float(i < 1), 1.0) for i in range(4)]
    result = summary(run)
    assert not result.without_idle.won
    sla, without_idle, *_ = verdict(result)
    assert sla.startswith("SLA MISSED")
    assert "25.0 points below" in sla
    assert "did NOT beat" in without_idle
    assert "missed the target" in without_idle


def test_nothing_spent_by_anyone_is_a_tie():
    measured = {model: answers([1, 1, 1, 1], [0, 0, 0, 0]) for model in IDLE}
    result = summary([request(i, "small", 1.0, 0.0) for i in range(4)], measured, seconds=0.0)
    assert result.exploration_share == 0
    assert not result.without_idle.won
    assert "TIED WITH" in verdict(result)[1]


def test_random_with_constraint_serves_the_best_where_no_model_keeps_the_mean():
    outcomes = Outcomes(("small", "large"), np.tile([0.0, 0.5], (10, 1)), np.tile([1.0, 4.0], (10, 1)))
    contender = random_constrained(outcomes, IDLE, 0.9, seed=1)
    assert contender.joules_per_request == pytest.approx(4)
    assert contender.mean_satisfaction == pytest.approx(0.5)


def test_random_with_constraint_is_uniform_where_every_model_keeps_the_mean():
    outcomes = Outcomes(("small", "large"), np.ones((500, 2)), np.tile([1.0, 3.0], (500, 1)))
    assert random_constrained(outcomes, IDLE, 0.5, seed=1).joules_per_request == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": []}, "at least one request"),
        ({"measured": {"small": MEASURED["small"]}}, "no baseline for large"),
        ({"measured": MEASURED | {"small": {}}}, "baseline small lacks"),
        ({"idle": {"small": 1.0}}, "idle_watts lacks large"),
        ({"min_satisfaction": 1.0}, "min_satisfaction must be in"),
        ({"seconds": float("nan")}, "finite"),
        ({"run": [*RUN[:3], request(3, "small", 1.5, 1.0)]}, "satisfaction must be in"),
        ({"run": [*RUN[:3], request(3, "small", 1.0, float("inf"))]}, "joules must be"),
        ({"run": [*RUN, RUN[0]]}, "distinct"),
    ],
)
def test_records_that_cannot_be_compared_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        summary(**change)


def test_wording():
    assert joules(1234.5) == "1,234 J"
    assert joules(0.01234) == "0.0123 J"
    assert weights({"a": 0.63, "b": 0.37, "c": 0.0}) == "63 % a + 37 % b"


ZOO = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1, max_size=6)


def singles_of(zoo):
    return [Contender(f"single:{i}", e, s, idle, {str(i): 1.0}) for i, (s, e, idle) in enumerate(zoo)]


@given(
    ZOO, st.floats(0.01, 0.99), st.sampled_from([lambda c: c.joules_per_request, lambda c: c.total_joules])
)
def test_the_mixture_never_costs_more_than_the_cheapest_feasible_model(zoo, target, cost):
    singles = singles_of(zoo)
    mixture = static_mixture(singles, target, cost)
    feasible = [cost(single) for single in singles if single.reaches(target)]
    assert mixture.reaches(target) == bool(feasible)
    assert sum(mixture.weights.values()) == pytest.approx(1)
    if feasible:
        assert cost(mixture) <= min(feasible)


@given(ZOO, st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_no_mixture_that_reaches_the_target_is_cheaper(zoo, target, seed):
    singles = singles_of(zoo)
    mixture = static_mixture(singles, target, lambda contender: contender.joules_per_request)
    for shares in np.random.default_rng(seed).dirichlet(np.full(len(zoo), 0.3), 50):
        satisfaction, energy = shares @ np.array([(s, e) for s, e, _ in zoo])
        if satisfaction >= target:
            assert mixture.joules_per_request <= energy * (1 + 1e-6) + 1e-6


def test_singles_average_over_the_prompts():
    outcomes = Outcomes(
        ("small", "large"), np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 6.0]])
    )
    small, large = single_models(outcomes, IDLE)
    assert (small.joules_per_request, small.mean_satisfaction) == (2, 0.5)
    assert (large.joules_per_request, large.mean_satisfaction) == (4, 1.0)
