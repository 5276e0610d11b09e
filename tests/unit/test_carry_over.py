"""Learned state carried over to another list of models: what stays, what is learned, what is forgotten."""

from dataclasses import replace

import numpy as np
import pytest
from fold_events import MODELS, at, decision, energy, label, outcome, redecision
from hypothesis import given, settings
from hypothesis import strategies as st
from pacer_world import FEATURES, JOULES, Loop, priors, requests

from services.core.carry_over import carried_over
from services.core.events import Role
from services.core.fold import Fold
from services.core.model_change import ModelChange
from services.core.policies.base import ModelPrior
from services.core.policies.registry import policy_from_config
from services.core.snapshot import carried_snapshot, decode_snapshot, prior_snapshot

NAMES = ("pacer", "messplus-2024", "messplus-2025", "static-mixture", "single:large")
ALL = (*MODELS, "huge")
PRIOR_OF = {m: ModelPrior(m, 0.3 + 0.15 * i, 2.0**i) for i, m in enumerate(ALL)}
OBSERVATIONS = 10.0
lists = st.permutations(ALL).flatmap(lambda p: st.integers(1, 4).map(lambda n: tuple(p[:n])))
with_large = lists.filter(lambda ids: "large" in ids)


def priors_of(ids):
    return [PRIOR_OF[m] for m in ids]


def policy_for(name, ids):
    return policy_from_config(name, {}, ids)


def learned_fold(name, ids=MODELS, requests_count=60):
    """Two classes, every model served, labels and joules, and one request that still waits for both."""
    fold = Fold(policy_for(name, ids), priors_of(ids), 4)
    rng, entries = np.random.default_rng(3), []
    for t in range(requests_count):
        model, request = ids[t % len(ids)], f"r{t}"
        features = (1.0, *rng.normal(size=3))
        sla_class = ("standard", "strict")[t % 2]
        entries += [
            decision(
                request,
                model,
                explored=t % 3 == 0,
                features=features,
                models=ids,
                step=t + 1,
                sla_class=sla_class,
            ),
            *(label(float(rng.random() < 0.6), m, request) for m in (ids if t % 3 == 0 else (model,))),
            *(energy(2.0 + rng.random(), m, request) for m in (ids if t % 3 == 0 else (model,))),
        ]
    entries.append(decision("open", ids[0], features=(1.0, 0.5, 0.0, 0.0), models=ids, step=requests_count))
    for number, event in enumerate(entries, 1):
        fold.apply(at(number, event))
    return fold


def whole(fold):
    return fold.checkpoint_delta()


def restored(name, ids, delta):
    fold = Fold(policy_for(name, ids), priors_of(ids), 4)
    fold.restore(delta.parts_changed, delta.joins_set)
    return fold


def arrays_of(fold, name):
    return policy_for(name, fold.state.model_ids).state_arrays(fold.state.policy_state)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(st.permutations(MODELS))
def test_another_order_and_back_is_where_it_was_to_the_last_bit(name, order):
    delta = whole(learned_fold(name))
    there = whole(restored(name, tuple(order), delta))
    both = replace(there, parts_changed=delta.parts_changed | there.parts_changed, joins_set=delta.joins_set)
    back, before = restored(name, MODELS, both), restored(name, MODELS, delta)
    assert back.state.heads_revision - before.state.heads_revision == 2 * (tuple(order) != MODELS)
    assert before.state.classes == back.state.classes
    assert before.state.energy == back.state.energy
    assert before.state.counters == back.state.counters
    ours, theirs = arrays_of(before, name), arrays_of(back, name)
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours | theirs)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_list_is_the_state_itself(name):
    fold = learned_fold(name)
    state = fold.state
    policy = policy_for(name, MODELS)
    assert carried_over(policy, state, priors_of(MODELS), 4, OBSERVATIONS) is state
    before = {key: array.copy() for key, array in policy.state_arrays(state.policy_state).items()}
    same = policy.carried_over(state.policy_state, ModelChange(MODELS, MODELS), priors_of(MODELS), 4)
    after = policy.state_arrays(same)
    assert all(np.array_equal(before[key], after[key]) for key in before | after)


@settings(max_examples=40, deadline=None)
@given(with_large)
def test_pacer_believes_of_kept_models_what_it_did(ids):
    delta = whole(learned_fold("pacer"))
    before = restored("pacer", MODELS, delta).state.policy_state
    after = restored("pacer", ids, delta).state.policy_state
    kept = [m for m in ids if m in MODELS]
    for heads in ((before.satisfaction, after.satisfaction), (before.energy.belief, after.energy.belief)):
        old, new = ([list(zoo).index(m) for m in kept] for zoo in (MODELS, ids))
        assert np.array_equal(heads[0].mean[old], heads[1].mean[new])
        blocks = [
            head.covariance.reshape(len(zoo), 4, len(zoo), 4)[np.ix_(at_, range(4), at_, range(4))]
            for head, zoo, at_ in zip(heads, (MODELS, ids), (old, new), strict=True)
        ]
        assert np.array_equal(*blocks)
        covariance = heads[1].covariance
        assert np.array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0.0
    assert before.classes.keys() == after.classes.keys()
    assert all(before.classes[c].log_lambda == after.classes[c].log_lambda for c in before.classes)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(with_large)
def test_classes_and_joules_are_kept_by_model(name, ids):
    delta = whole(learned_fold(name))
    before, after = restored(name, MODELS, delta).state, restored(name, ids, delta).state
    for sla_class, known in before.classes.items():
        found = after.classes[sla_class]
        assert (found.steps, found.labelled, found.ledger) == (known.steps, known.labelled, known.ledger)
        served = dict(zip(MODELS, known.served, strict=True))
        assert found.served == [served.get(m, 0) for m in ids]
    joules = dict(zip(MODELS, before.energy, strict=True))
    assert all(after.energy[i] == joules[m] for i, m in enumerate(ids) if m in joules)
    assert (before.counters, before.position) == (after.counters, after.position)


def test_published_policies_keep_what_they_predict_of_kept_models():
    for name in ("messplus-2024", "messplus-2025"):
        delta = whole(learned_fold(name))
        old = restored(name, MODELS, delta).state.policy_state
        new = restored(name, ("huge", "large", "small"), delta).state.policy_state
        x = np.array([1.0, 0.3, -0.2, 0.7])
        was, now = old.predict_one(x), new.predict_one(x)
        assert now[[1, 2]] == pytest.approx(was[[2, 0]], abs=1e-12)
    assert now[0] == pytest.approx(PRIOR_OF["huge"].satisfaction), "a new output row predicts the prior"


def test_what_was_learned_of_the_others_speaks_for_a_new_model():
    old = learned_fold("pacer", ("small", "medium"), 400)
    before = old.state.policy_state.satisfaction
    below_prior = before.mean[:, 0] - [np.log(p / (1 - p)) for p in (0.3, 0.45)]
    state = restored("pacer", (*MODELS,), whole(old)).state.policy_state
    prior = np.log(0.6 / 0.4)
    # Correlation .5 between intercepts, so each of two others counts for a third.
    assert state.satisfaction.mean[2, 0] - prior == pytest.approx(below_prior.sum() / 3)
    assert state.satisfaction.covariance[8, 8] < 0.7**2


def test_an_energy_level_that_was_found_by_measuring_holds_for_a_new_model():
    policy = policy_for("pacer", MODELS[:2])
    nothing = [ModelPrior(m) for m in ALL]
    state = policy.initial_state(nothing[:2], 1)
    for _ in range(50):
        policy.learn_energy(state, np.ones(1), 0, 1000.0)
        policy.learn_energy(state, np.ones(1), 1, 2000.0)
    after = policy.carried_over(state, ModelChange(MODELS[:2], MODELS), nothing[:3], 1)
    joules = np.exp(after.energy.belief.mean[:, 0] + after.energy.log_scale)
    assert joules[2] == pytest.approx(4000.0, rel=0.4), "twice the one before it, at the level found"
    unmeasured = policy.initial_state(nothing[:2], 1)
    stated = [PRIOR_OF["small"], *nothing[1:3]]
    level = policy.carried_over(unmeasured, ModelChange(MODELS[:2], MODELS), stated, 1).energy
    assert level.level_known
    assert level.belief.mean[:, 0] == pytest.approx(np.log([1.0, 2.0, 4.0]))


def test_a_model_added_in_mid_stream_is_learned_and_a_removed_one_is_gone():
    features, satisfied, joules = requests(5, 2400)
    first = priors()[:2]
    policy = policy_for("pacer", MODELS[:2])
    before = Loop(alpha=0.6, policy=policy, state=policy.initial_state(first, FEATURES))
    before.run(features[:600], satisfied[:600], joules[:600])
    truth = float(satisfied[:, 2].mean())
    new = [first[1], ModelPrior("large", 0.9, JOULES[2])]
    change = ModelChange(MODELS[:2], ("medium", "large"))
    state = policy.carried_over(before.state, change, new, FEATURES)
    control = state.classes["standard"]
    assert (control.steps, control.filled) == (600, 600)
    # More than the kept model alone gives, so that the new one is needed.
    after = Loop(alpha=0.66, policy=policy, state=state, ledger=before.ledger)
    after.run(features[600:], satisfied[600:, 1:], joules[600:, 1:])
    assert after.served.count(1) > 200
    logits = features @ after.state.satisfaction.mean.T
    predicted = (1 / (1 + np.exp(-logits))).mean(0)
    assert predicted[1] == pytest.approx(truth, abs=0.05)
    assert abs(predicted[1] - truth) < abs(0.9 - truth) / 2
    assert np.mean(after.satisfactions[-1000:]) > 0.66 - 0.03


def test_what_waited_across_the_change_is_still_joined():
    fold = restored("pacer", ("medium", "huge"), whole(learned_fold("pacer")))
    before = fold.state.sla_class("standard").labelled, fold.state.counters.labels_learned
    revision = fold.state.heads_revision
    fold.apply(at(10_000, label(1.0, request_id="open")))
    fold.apply(at(10_001, energy(3.0, "small", "open")))
    standard = fold.state.sla_class("standard")
    assert (standard.labelled, fold.state.counters.labels_learned) == (before[0] + 1, before[1] + 1)
    assert (fold.open_joins, fold.take_dead()) == (0, [])
    assert fold.state.heads_revision == revision, "of a model that is gone nothing is learned"


@pytest.mark.parametrize("learner", ["pacer", "messplus-2025"])
def test_a_model_that_the_zoo_does_not_have_counts_for_its_class_and_teaches_nothing(learner):
    fold = Fold(policy_for(learner, MODELS), priors_of(MODELS), 2)
    fold.apply(at(1, decision("a", "huge", models=ALL, charged=0.25)))
    fold.apply(at(2, label(1.0, request_id="a")))
    fold.apply(at(3, energy(9.0, "huge", "a")))
    statistics = fold.state.sla_class("standard")
    assert (statistics.steps, statistics.labelled, statistics.energy_joules) == (1, 1, 9.0)
    assert statistics.served == [0, 0, 0]
    assert statistics.ledger.debt == -0.5
    assert (fold.state.heads_revision, fold.open_joins, fold.take_dead()) == (0, 0, [])
    assert sum(e.samples for e in fold.state.energy) == 0


def test_another_models_redecision_moves_only_known_counts():
    fold = Fold(policy_for("pacer", MODELS), priors_of(MODELS), 2)
    fold.apply(at(1, decision("r", "small")))
    fold.apply(at(2, redecision("small", "huge")))
    fold.apply(at(3, label(1.0)))
    statistics = fold.state.sla_class("standard")
    assert (statistics.served, statistics.labelled) == ([0, 0, 0], 1)
    assert statistics.ledger.debt == pytest.approx(0.5 - 1.0)


def test_an_exploration_learns_from_the_models_that_are_left():
    fold = Fold(policy_for("messplus-2025", MODELS), priors_of(MODELS), 2)
    fold.apply(at(1, decision("r", "large", explored=True, models=("small", "huge", "large"))))
    for number, model in enumerate(("small", "huge", "large")):
        fold.apply(at(2, label(1.0, model), number))
    assert (fold.state.counters.explorations_learned, fold.state.counters.labels_learned) == (1, 3)


def test_everything_is_written_again_and_a_restart_finds_the_same():
    fold = restored("pacer", ("large", "huge"), whole(learned_fold("pacer")))
    delta = whole(fold)
    assert set(delta.parts_changed) == {"control", "heads", "memory"}
    assert (delta.joins_set, delta.joins_deleted) == ({}, [])
    again = restored("pacer", ("large", "huge"), delta)
    again.apply(at(9999, decision("new", "huge", models=("large", "huge"), features=(1.0, 0.0, 0.0, 0.0))))
    parts = whole(again).parts_changed
    assert b'"models":["large","huge"]' in parts["control"]


@pytest.mark.parametrize("name", NAMES)
def test_routers_of_the_old_and_of_the_new_zoo_read_each_others_snapshots(name):
    delta, ids = whole(learned_fold(name)), ("large", "huge")
    policy = policy_for(name, ids)
    early = decode_snapshot(7, delta.parts_changed, policy, priors_of(ids), 4)
    assert (early.model_ids, early.classes["standard"].labelled) == (ids, 30)
    known = decode_snapshot(7, delta.parts_changed, policy_for(name, MODELS), priors_of(MODELS), 4)
    carried = carried_snapshot(policy, known, priors_of(ids), 4, OBSERVATIONS)
    x = np.array([1.0, 0.1, 0.2, 0.3])
    for one, other in ((early, carried),):
        assert (one.version, one.energy_joules.tolist()) == (other.version, other.energy_joules.tolist())
        states = [policy.state_arrays(s.policy_state) for s in (one, other)] if name != "pacer" else []
        assert all(np.array_equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))
    # The learner has gone over to the new list: a router of the old one still gets what it can use.
    later = whole(restored(name, ids, delta)).parts_changed
    old = decode_snapshot(8, later, policy_for(name, MODELS), priors_of(MODELS), 4, known)
    assert old.model_ids == MODELS
    if name == "pacer":
        assert np.array_equal(old.policy_state.weights[:, 2], known.policy_state.weights[:, 2])
        assert early.policy_state.weights[0] @ x == pytest.approx(carried.policy_state.weights[0] @ x)


def test_priors_alone_are_carried_to_priors():
    policy = policy_for("pacer", MODELS)
    snapshot = prior_snapshot(policy, priors_of(MODELS), 4, OBSERVATIONS)
    moved = carried_snapshot(policy, snapshot, priors_of(("huge", "small")), 4, OBSERVATIONS)
    assert (moved.version, moved.energy_joules.tolist()) == (0, [8.0, 1.0])


def test_an_outcome_of_an_unknown_model_waits_like_any_other():
    fold = Fold(policy_for("pacer", MODELS), priors_of(MODELS), 2)
    fold.apply(at(1, decision("r", "huge", explored=True, models=("small", "huge"))))
    fold.apply(at(2, outcome("huge", Role.FAILED)))
    assert fold.take_dead() == []
