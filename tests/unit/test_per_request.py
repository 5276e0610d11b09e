"""The published modes with joules per request: what changes, and that nothing else does."""

from dataclasses import replace

import numpy as np
import pytest
from fold_events import MODELS, at, decision, energy, label

from services.core.errors import InvalidSnapshotError
from services.core.exploration import DecisionRandom
from services.core.fold import Fold
from services.core.learner_codec import CONTROL, HEADS
from services.core.model_change import ModelChange
from services.core.policies.base import ClassView, Context, ModelPrior
from services.core.policies.parameters import PolicyConfigError
from services.core.policies.registry import policy_from_config
from services.core.snapshot import decode_snapshot

MODES = ("messplus-2024", "messplus-2025")
PRIORS = [ModelPrior(m, 0.5, j) for m, j in zip(MODELS, (1.0, 4.0, 16.0), strict=True)]
LONG, SHORT = np.array([1.0, 1.0]), np.array([1.0, -1.0])


def make(mode, energy="per-request"):
    return policy_from_config(
        mode, {"energy": energy, "exploration_scale": 0.0, "energy_weight": 1.0}, MODELS
    )


def context(features, load_factors=None):
    sla = ClassView(0.6, 10, 1.0, 0.0)
    return Context(features, np.ones(3), np.ones(3, bool), sla, load_factors=load_factors)


def taught(policy, count=200):
    """Long prompts cost three times as much as short ones, of every model."""
    state, rng = policy.initial_state(PRIORS, 2), np.random.default_rng(0)
    for number in range(count):
        features, factor = (LONG, 3.0) if number % 2 else (SHORT, 1.0)
        for m, prior in enumerate(PRIORS):
            policy.learn_energy(state, features, m, prior.energy_joules * factor * rng.uniform(0.8, 1.25))
    return state


def joules(policy, state, *of):
    return policy.decide(context(*of), state, DecisionRandom(1)).energy_joules


@pytest.mark.parametrize("mode", MODES)
def test_each_request_has_its_own_joules_and_load_lowers_them(mode):
    policy = make(mode)
    state = taught(policy)
    long, short = joules(policy, state, LONG), joules(policy, state, SHORT)
    np.testing.assert_allclose(long / short, 3.0, rtol=0.15)
    factors = np.array([1.0, 0.25, 1.0])
    np.testing.assert_array_equal(joules(policy, state, LONG, factors), long * factors)


@pytest.mark.parametrize("mode", MODES)
def test_it_decides_as_the_published_mode_with_these_joules(mode):
    policy, published = make(mode), make(mode, "mean")
    state = taught(policy)
    action = policy.decide(context(LONG), state, DecisionRandom(1))
    given = replace(context(LONG), energy_joules=action.energy_joules)
    wanted = published.decide(given, state.inner, DecisionRandom(1))
    assert (action.model_index, action.scores.tolist()) == (wanted.model_index, wanted.scores.tolist())
    assert wanted.energy_joules is None


@pytest.mark.parametrize("mode", MODES)
def test_the_published_definition_is_what_nobody_asked_otherwise_gets(mode):
    plain = policy_from_config(mode, {}, MODELS)
    assert type(plain) is type(make(mode, "mean"))
    assert not plain.learns_energy
    with pytest.raises(PolicyConfigError, match=r"energy = 'often': allowed: mean, per-request"):
        make(mode, "often")
    with pytest.raises(PolicyConfigError, match="energy"):
        policy_from_config("pacer", {"energy": "mean"}, MODELS)


@pytest.mark.parametrize("mode", MODES)
def test_the_state_survives_its_arrays_and_damage_is_refused(mode):
    policy = make(mode)
    state = taught(policy)
    arrays = policy.state_arrays(state)
    again = policy.state_arrays(policy.state_from_arrays(arrays, PRIORS, 2))
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    for name in ("energy_mean", "energy_level"):
        with pytest.raises(InvalidSnapshotError):
            policy.state_from_arrays({n: a for n, a in arrays.items() if n != name}, PRIORS, 2)


def test_snapshots_decide_as_the_learner_would():
    policy = make("messplus-2025")
    fold = Fold(policy, PRIORS, 2)
    for number in range(40):
        request = f"r{number}"
        events = (
            decision(request, features=(1.0, float(number % 3))),
            energy(2.0 + number % 3, "small", request),
            label(1.0, request_id=request),
        )
        for place, event in enumerate(events):
            fold.apply(at(number + 1, event, sequence=place))
    parts = fold.checkpoint_delta().parts_changed
    snapshot = decode_snapshot(1, {n: parts[n] for n in (CONTROL, HEADS)}, policy, PRIORS, 2)
    live = joules(policy, fold.state.policy_state, LONG)
    np.testing.assert_array_equal(joules(policy, snapshot.policy_state, LONG), live)
    assert live[0] != PRIORS[0].energy_joules


@pytest.mark.parametrize("mode", MODES)
def test_kept_models_keep_their_joules_when_the_zoo_changes(mode):
    policy = make(mode)
    state = taught(policy)
    before = joules(policy, state, LONG)
    change = ModelChange(MODELS, ("large", "new"))
    priors = [PRIORS[2], ModelPrior("new", 0.5, 50.0)]
    decides = policy.decision_state_from_arrays(policy.decision_arrays(state), PRIORS, 2)
    for carried in (decides, state):
        moved = policy.carried_over(carried, change, priors, 2)
        sla = ClassView(0.6, 10, 1.0, 0.0)
        two = Context(LONG, np.ones(2), np.ones(2, bool), sla)
        assert policy.decide(two, moved, DecisionRandom(1)).energy_joules[0] == pytest.approx(before[2])
