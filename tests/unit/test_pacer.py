"""What must hold of the default policy, in a made-up zoo whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pacer_world import FEATURES, JOULES, Loop, priors, requests

from services.core.errors import InvalidSnapshotError
from services.core.exploration import DecisionRandom
from services.core.policies.base import ClassView, Context, ModelPrior
from services.core.policies.pacer import Pacer
from services.core.policies.pacer_control import Candidates
from services.core.policies.pacer_parameters import PacerParameters

POLICY = Pacer(PacerParameters())


def learned(count=300, **changes):
    return Loop(**changes).run(*requests(1, count))


def context(loop, features, eligible=(True, True, True)):
    return Context(features, np.ones(3), np.array(eligible), loop.view())


def test_it_meets_its_target_for_less_than_the_models_averages_allow():
    features, satisfied, joules = requests(2, 3000)
    loop = Loop(alpha=0.6).run(features, satisfied, joules)
    means, costs = satisfied.mean(0), joules.mean(0)
    share = (0.6 - means[1]) / (means[2] - means[1])
    static = share * costs[2] + (1 - share) * costs[1]
    assert np.mean(loop.satisfactions) > 0.6 - 0.01
    assert np.mean(loop.joules) < 0.95 * static


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_unit_of_energy_changes_no_decision(scale):
    assert learned(scale=scale).served == learned().served


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_nor_does_it_where_nothing_is_known_beforehand(scale):
    def served(scale):
        state = POLICY.initial_state([ModelPrior(m) for m in "abc"], FEATURES)
        return learned(scale=scale, state=state).served

    assert served(scale) == served(1.0)


def test_names_change_no_decision():
    state = POLICY.initial_state(priors(names=("z", "y", "x")), FEATURES)
    assert learned(state=state).served == learned().served


def test_the_dual_variable_is_bounded_and_recovers_after_an_infeasible_stretch():
    settled = []
    for seed in range(3, 8):
        healthy, hurt, joules = after_an_infeasible_stretch(seed)
        mean_joules = joules.mean(0)
        low, high = math.log(0.001 * mean_joules.min()), math.log(300 * mean_joules.max())
        assert all(low < value < high for value in hurt.log_lambdas)
        assert min(hurt.log_lambdas[1500:2000]) > max(healthy.log_lambdas[1500:2000]) + 1.0
        settled.append(hurt.log_lambdas[2500] - healthy.log_lambdas[2500])
    # Debt moves both by some tenths, in either direction.
    assert np.median(settled) < math.log(1.05)


def after_an_infeasible_stretch(seed):
    features, satisfied, joules = requests(seed, 2501)
    healthy, hurt = Loop(alpha=0.6), Loop(alpha=0.6)
    for begin, end, alpha in ((0, 1000, 0.6), (1000, 2000, 0.95), (2000, 2501, 0.6)):
        hurt.alpha = alpha
        for loop in (healthy, hurt):
            loop.run(features[begin:end], satisfied[begin:end], joules[begin:end])
    return healthy, hurt, joules


def random_candidates(seed, models):
    rng = np.random.default_rng(seed)
    satisfaction = rng.random((200, models))
    draws = np.clip(satisfaction + 0.1 * rng.normal(size=satisfaction.shape), 0, 1)
    return Candidates(satisfaction, draws, np.exp(rng.normal(size=satisfaction.shape)))


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_goal_never_buys_less(seed, models, one, other):
    candidates = random_candidates(seed, models)
    low, high = sorted((one, other))
    bounds = candidates.bounds()
    assert candidates.solved(low, bounds) <= candidates.solved(high, bounds)


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(-3, 3), st.floats(0, 3))
def test_a_dearer_dual_variable_never_draws_less_satisfaction(seed, models, log_lambda, more):
    candidates = random_candidates(seed, models)
    exact = Candidates(candidates.draws, candidates.draws, candidates.energy_joules)
    assert exact.mean_satisfaction(log_lambda) <= exact.mean_satisfaction(log_lambda + more) + 1e-12


def test_a_higher_target_gives_more_satisfaction():
    stream = requests(4, 1500)
    means = [np.mean(Loop(alpha=alpha).run(*stream).satisfactions) for alpha in (0.45, 0.55, 0.65)]
    assert means == sorted(means)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(True, True, True), (True, False, True), (False, True, False)]))
def test_propensities_match_what_is_drawn(seed, eligible):
    loop = SHORT
    rng = np.random.default_rng(seed)
    x = np.concatenate([[1.0], rng.normal(size=FEATURES - 1)])
    asked = context(loop, x, eligible)
    propensities = loop.policy.propensities(asked, loop.state)
    assert propensities.sum() == pytest.approx(1.0)
    assert (propensities[~np.array(eligible)] == 0).all()
    drawn = [loop.policy.decide(asked, loop.state, DecisionRandom(i)).model_index for i in range(600)]
    shares = np.bincount(drawn, minlength=3) / 600
    assert np.abs(shares - propensities).max() < 5 * 0.5 / math.sqrt(600)


SHORT = learned(60)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 120), st.integers(0, 1000))
def test_the_state_survives_its_arrays_bit_for_bit(count, seed):
    loop = Loop().run(*requests(seed, count))
    arrays = loop.policy.state_arrays(loop.state)
    restored = POLICY.state_from_arrays(arrays, priors(), FEATURES)
    again = POLICY.state_arrays(restored)
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    copy = replace(loop, state=restored, ledger=replace(loop.ledger), served=list(loop.served))
    more = requests(seed + 1, 60)
    loop.run(*more), copy.run(*more)
    arrays, again = (POLICY.state_arrays(one.state) for one in (loop, copy))
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())


def test_what_routers_get_decides_as_the_whole_state():
    loop = SHORT
    small = POLICY.decision_state_from_arrays(POLICY.decision_arrays(loop.state), priors(), FEATURES)
    for seed in range(50):
        x = np.concatenate([[1.0], np.random.default_rng(seed).normal(size=FEATURES - 1)])
        actions = [POLICY.decide(context(loop, x), s, DecisionRandom(seed)) for s in (small, loop.state)]
        assert np.allclose(actions[0].scores, actions[1].scores)
        assert actions[0].model_index == actions[1].model_index
        assert actions[0].dual_joules == actions[1].dual_joules > 0


def test_the_state_of_ten_models_and_many_classes_is_small():
    state = POLICY.initial_state([ModelPrior(f"m{i}", 0.5, 2.0**i) for i in range(10)], 27)
    x = np.concatenate([[1.0], np.random.default_rng(0).normal(size=26)])
    for number in range(2000):
        POLICY.learn_decision(state, x, 0, ClassView(0.6, 1, 0.0, 0.0, f"class {number % 20}"))
    stored = sum(array.nbytes for array in POLICY.state_arrays(state).values())
    assert stored < 2_000_000
    assert sum(array.nbytes for array in POLICY.decision_arrays(state).values()) < 50_000


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a.pop("decisions"),
        lambda a: a.update(energy_mean=np.zeros((2, FEATURES))),
        lambda a: a.update(energy_mean=np.full((3, FEATURES), np.nan)),
        lambda a: a.update(class_names=np.zeros(1)),
        lambda a: a.update(class_names=np.array(["one", "two"])),
        lambda a: a.update(class_contexts=np.zeros((3, FEATURES))),
        lambda a: a.update(more=np.zeros(1)),
    ],
)
def test_damaged_arrays_are_refused(damage):
    arrays = POLICY.state_arrays(SHORT.state)
    damage(arrays)
    with pytest.raises(InvalidSnapshotError):
        POLICY.state_from_arrays(arrays, priors(), FEATURES)


def test_classes_share_what_is_learned_and_keep_their_own_targets():
    features, satisfied, joules = requests(6, 3000)
    easy = Loop(alpha=0.45, sla_class="easy")
    strict = Loop(alpha=0.65, sla_class="strict", state=easy.state)
    for begin in range(0, 3000, 20):
        part = slice(begin, begin + 10), slice(begin + 10, begin + 20)
        easy.run(features[part[0]], satisfied[part[0]], joules[part[0]])
        strict.run(features[part[1]], satisfied[part[1]], joules[part[1]])
    assert np.mean(easy.satisfactions) > 0.45 - 0.02
    assert np.mean(strict.satisfactions) > 0.65 - 0.02
    assert np.mean(easy.joules) < 0.7 * np.mean(strict.joules)
    assert set(easy.state.classes) == {"easy", "strict"}


def test_the_number_of_contexts_is_bounded_over_all_classes():
    state = POLICY.initial_state(priors(), FEATURES)
    x = np.ones(FEATURES)
    for number in range(300):
        POLICY.learn_decision(state, x, 0, ClassView(0.6, 1, 0.0, 0.0, f"class {number}"))
    assert len(state.classes) == 256
    assert "class 0" not in state.classes
    control = state.classes["class 299"]
    for value in range(100):
        POLICY.learn_decision(state, x * value, 0, ClassView(0.6, 1, 0.0, 0.0, "class 299"))
    assert sorted(control.recent()[:, 0]) == list(range(100 - 16_000 // 256, 100))


def test_an_answer_without_joules_or_with_absurd_ones_breaks_nothing():
    loop = learned(50)
    for joules in (0.0, 1e-300, 1e9):
        loop.policy.learn_energy(loop.state, np.ones(FEATURES), 1, joules)
    action = loop.decide(np.ones(FEATURES))
    assert np.isfinite(action.scores).all()
    assert action.energy_joules[1] < 100 * JOULES[1]


def test_an_unreachable_target_serves_the_best_and_owes_a_bounded_debt():
    features, satisfied, joules = requests(7, 2500)
    loop = Loop(alpha=0.97).run(features, satisfied, joules)
    assert loop.state.classes["standard"].infeasible
    assert loop.ledger.debt <= 10
    assert np.mean(np.array(loop.served[500:]) == 2) > 0.9
