"""A log folded in one go, or across checkpoints and restarts anywhere, gives the same bytes."""

from dataclasses import replace

import pytest
from fold_events import MODELS, at, decision, energy, label, outcome, redecision
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import InvalidSnapshotError
from services.core.events import Role
from services.core.fold import Fold, FoldSettings, JoinLimits
from services.core.policies.base import ModelPrior
from services.core.policies.messplus import MessPlus2024, MessPlus2024Parameters
from services.core.policies.registry import policy_from_config

PRIORS = [ModelPrior("small", 0.3, 1.5), ModelPrior("medium", 0.6), ModelPrior("large", 0.9, 20.0)]
# Tight limits, so that a few dozen events meet every one of them.
SETTINGS = FoldSettings(
    JoinLimits(
        max_age_milliseconds=60, max_open=4, max_early_age_milliseconds=25, max_early=2, max_waiting_events=2
    )
)


class LearningLinear(MessPlus2024):
    """A policy that also learns from served answers and joules, as later ones do."""

    learns_from_served = True

    def learn_label(self, state, features, model_index, satisfaction, *, audited=False):
        state.learn_one(features, self._only(model_index, satisfaction))

    def learn_energy(self, state, features, model_index, energy_joules):
        state.learn_one(features / (1 + energy_joules), self._only(model_index, 0.5))

    @staticmethod
    def _only(model_index, value):
        return [value if m == model_index else float("nan") for m in range(len(MODELS))]


POLICIES = [
    policy_from_config("messplus-2025", {}, MODELS),
    policy_from_config("single:small", {}, MODELS),
    LearningLinear(MessPlus2024Parameters()),
    policy_from_config("pacer", {"resolve_every": 5, "window": 50}, MODELS),
    policy_from_config("messplus-2025", {"energy": "per-request"}, MODELS),
]

ids = st.sampled_from([f"r{i}" for i in range(6)])
models = st.sampled_from(MODELS)
units = st.floats(0, 1)
events = st.one_of(
    st.builds(
        decision,
        ids,
        models,
        explored=st.booleans(),
        alpha=st.floats(0.01, 0.99),
        features=st.tuples(st.just(1.0), st.floats(-3, 3)),
        charged=units,
        step=st.integers(1, 1000),
        sla_class=st.sampled_from(["standard", "strict"]),
        load_factors=st.sampled_from([(), (0.25, 1.0, 0.5), (2.0, 1.0, 1.0)]),
    ),
    st.builds(label, units, st.sampled_from(["", *MODELS, "large-again"]), ids),
    st.builds(label, units, request_id=ids),
    st.builds(energy, st.floats(0, 1e4), models, ids),
    st.builds(redecision, models, models, ids),
    st.builds(outcome, models, st.sampled_from([Role.SERVED, Role.FAILED]), ids),
    st.just(label(float("nan"), request_id="r0")),
)
# What happens after an entry: nothing, a checkpoint, a crash, or a checkpoint and then a crash.
steps = st.lists(
    st.tuples(st.integers(0, 15), events, st.sampled_from(["", "", "", "checkpoint", "crash", "both"])),
    max_size=60,
)


class Store:
    """What a checkpoint writes, all of it at once."""

    def __init__(self):
        self.parts, self.joins, self.dead, self.position = {}, {}, [], None

    def write(self, fold):
        delta = fold.checkpoint_delta()
        assert not delta.joins_set.keys() & set(delta.joins_deleted)
        assert set(delta.joins_deleted) <= self.joins.keys()
        self.parts |= delta.parts_changed
        self.joins |= delta.joins_set
        for request_id in delta.joins_deleted:
            del self.joins[request_id]
        self.dead += delta.dead
        self.position = delta.position

    def open(self, policy):
        fold = Fold(policy, PRIORS, 2, SETTINGS)
        if self.parts:
            fold.restore(self.parts, self.joins)
        return fold


def as_log(steps):
    now, log = 0, []
    for number, (wait, event, _) in enumerate(steps):
        now += wait
        log.append(at(now, event, sequence=number + 1))
    return log


def folded(policy, log, breaks):
    """The store after a log, with `breaks` between its entries, and a last checkpoint."""
    store = Store()
    fold, index = store.open(policy), 0
    pending = list(breaks)
    while index < len(log):
        fold.apply(log[index])
        event, pending[index] = pending[index], ""
        if event in ("checkpoint", "both"):
            store.write(fold)
        index += 1
        if event in ("crash", "both"):
            fold = store.open(policy)
            index = next((i for i, e in enumerate(log) if e.position > fold.position), len(log))
    store.write(fold)
    return store


def same(one, other):
    # Compared as text: a damaged label holds NaN, which equals nothing, not even itself.
    return (one.parts, one.joins, one.position, repr(one.dead)) == (
        other.parts,
        other.joins,
        other.position,
        repr(other.dead),
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
@settings(max_examples=150, deadline=None)
@given(steps)
def test_checkpoints_and_crashes_leave_no_trace(policy, steps):
    log = as_log(steps)
    undisturbed = folded(policy, log, [""] * len(log))
    assert same(undisturbed, folded(policy, log, [what for _, _, what in steps]))


@settings(max_examples=100, deadline=None)
@given(steps)
def test_every_joule_and_every_label_is_counted_once_or_accounted_for(steps):
    fold = Fold(POLICIES[0], PRIORS, 2, SETTINGS)
    for entry in as_log(steps):
        fold.apply(entry)
    classes = fold.state.classes.values()
    assert all(c.virtual_queue >= 0 for c in classes)
    assert all(0.02 <= c.ledger.label_rate <= 1 for c in classes)
    assert sum(c.labelled for c in classes) <= fold.state.counters.labels_learned
    assert len(fold.take_dead()) == fold.state.counters.dead_events
    assert fold.open_joins <= 6
    assert sum(sum(c.served) for c in classes) <= sum(e.samples for e in fold.state.energy) + len(steps)


def test_only_changed_parts_are_written():
    fold = Fold(POLICIES[0], PRIORS, 2)
    assert set(fold.checkpoint_delta().parts_changed) == {"control", "heads", "memory"}
    fold.apply(at(1, decision(explored=True)))
    first = fold.checkpoint_delta()
    assert (set(first.parts_changed), list(first.joins_set)) == ({"control"}, ["r"])
    for number, model in enumerate(MODELS):
        fold.apply(at(2, label(1.0, model), sequence=number))
    assert set(fold.checkpoint_delta().parts_changed) == {"control", "heads", "memory"}
    for number, model in enumerate(MODELS):
        fold.apply(at(3, energy(1.0, model), sequence=number))
    last = fold.checkpoint_delta()
    assert (set(last.parts_changed), last.joins_set, last.joins_deleted) == ({"control"}, {}, ["r"])


def test_features_are_kept_as_the_log_rounds_them():
    fine = decision(explored=True, features=(1.0, 0.1))
    coarse = replace(fine, features=fine.features.astype("<f2").astype(float))
    stores = [
        folded(POLICIES[0], [at(1, e), *(at(2, label(1.0, m), i) for i, m in enumerate(MODELS))], [""] * 4)
        for e in (fine, coarse)
    ]
    assert same(*stores)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b'{"opened":"x"}',
        b'{"opened":"1-0","waiting":[["1-0","Nothing",{}]]}',
        b'{"opened":"1-0","class":"c","alpha":0.5,"charged":0.5,"features":"","flags":[false,false,false],'
        b'"served":0,"generations":[["g",7,false,null,false]]}',
        b'{"opened":"1-0","class":"c","alpha":0.5,"charged":0.5,"features":"","flags":[false,false,false],'
        b'"served":3,"generations":[["g",0,false,null,false]]}',
    ],
)
def test_a_damaged_join_is_refused_and_the_fold_stays_as_it_was(damage):
    fold = Fold(POLICIES[0], PRIORS, 2)
    parts = fold.checkpoint_delta().parts_changed
    fold.apply(at(1, decision()))
    with pytest.raises(InvalidSnapshotError, match="'q'"):
        fold.restore(parts, {"q": damage})
    assert (fold.position.milliseconds, fold.open_joins) == (1, 1)


def test_an_early_join_that_was_written_is_deleted_once_it_closed():
    fold, store = Fold(POLICIES[0], PRIORS, 2), Store()
    fold.apply(at(1, label(1.0)))
    store.write(fold)
    assert list(store.joins) == ["r"]
    fold.apply(at(2, decision()))
    fold.apply(at(3, energy(1.0, "small")))
    store.write(fold)
    assert store.joins == {}
