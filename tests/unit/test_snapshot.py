import json

import numpy as np
import pytest
from fold_events import MODELS, at, decision, energy, label

from services.core.errors import InvalidSnapshotError
from services.core.exploration import DecisionRandom
from services.core.fold import Fold
from services.core.learner_codec import heads_revision
from services.core.policies.base import ClassView, Context, ModelPrior
from services.core.policies.registry import policy_from_config
from services.core.snapshot import decode_snapshot, prior_snapshot

PRIORS = [ModelPrior(m, 0.5, 2.0) for m in MODELS]
POLICY = policy_from_config("messplus-2025", {}, MODELS)


def learned_fold():
    fold = Fold(POLICY, PRIORS, 2)
    fold.apply(at(1, decision(model="large", explored=True)))
    for number, model in enumerate(MODELS, 1):
        fold.apply(at(2 * number, label(0.0, model)))
        fold.apply(at(2 * number + 1, energy(6.0, model)))
    return fold


@pytest.fixture
def parts():
    return learned_fold().checkpoint_delta().parts_changed


def decode(parts, **changes):
    arguments = {"policy": POLICY, "priors": PRIORS, "feature_count": 2, **changes}
    return decode_snapshot(arguments.pop("version", 3), parts, **arguments)


def test_a_snapshot_decides_as_the_learner_would(parts):
    fold, snapshot = learned_fold(), decode(parts)
    assert (snapshot.version, snapshot.heads_revision) == (3, 1)
    assert snapshot.virtual_queue("standard") == 0.5
    assert snapshot.virtual_queue("never-seen") == 0.0
    assert snapshot.classes["standard"].labelled == 1
    assert snapshot.energy_joules.tolist() == pytest.approx([26 / 11] * 3)
    assert [energy.samples for energy in snapshot.energy] == [1, 1, 1]
    context = Context(np.ones(2), snapshot.energy_joules, np.ones(3, bool), ClassView(0.5, 9, 0.5, 0.0))
    actions = [
        POLICY.decide(context, s, DecisionRandom(1)) for s in (snapshot.policy_state, fold.state.policy_state)
    ]
    assert np.array_equal(actions[0].scores, actions[1].scores)


def test_only_the_small_part_travels_while_the_heads_stay(parts):
    first = decode(parts)
    later = learned_fold()
    later.checkpoint_delta()
    later.apply(at(9, decision("q")))
    changed = later.checkpoint_delta().parts_changed
    assert heads_revision(changed["control"]) == first.heads_revision
    second = decode(changed, version=4, previous=first)
    assert second.policy_state is first.policy_state
    assert second.classes["standard"].steps == 1
    assert second.classes["standard"].served == [1, 0, 1]


@pytest.mark.parametrize("previous_version", [0, 9])
def test_heads_of_another_log_are_not_taken_over(parts, previous_version):
    # 0 is the priors; 9 is later than the version 3 now read, so the log was begun anew in between.
    previous = decode(parts, version=9) if previous_version else prior_snapshot(POLICY, PRIORS, 2, 10.0)
    with pytest.raises(InvalidSnapshotError, match="part 'heads' is missing"):
        decode({"control": parts["control"]}, previous=previous)


def test_the_priors_alone_make_a_snapshot():
    snapshot = prior_snapshot(POLICY, PRIORS, 2, 10.0)
    assert (snapshot.version, snapshot.energy_joules.tolist()) == (0, [2.0, 2.0, 2.0])


def edited(parts, change):
    document = json.loads(parts["control"])
    change(document)
    return {**parts, "control": json.dumps(document).encode()}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.update(format=1), "format is 1"),
        (lambda d: d.update(policy="other"), "policy is 'other'"),
        (lambda d: d.update(models=["small"]), "3 energies of 1 models"),
        (lambda d: d.update(models=["small", "small", "large"]), "models is"),
        (lambda d: d.update(models=[]), "models is"),
        (lambda d: d.pop("models"), "models is None"),
        (lambda d: d.update(position="late"), "control"),
        (lambda d: d.update(heads_revision=-1), "heads_revision is -1"),
        (lambda d: d.update(heads_revision=2), "revision 1 beside control of revision 2"),
        (lambda d: d.pop("energy"), "energy"),
        (lambda d: d["energy"].pop(), "2 energies of 3 models"),
        (lambda d: d["energy"][0].update(total_joules=-1.0), "energy of small: total_joules is -1.0"),
        (lambda d: d["energy"][0].update(total_joules=1e300), "mean joules"),
        (lambda d: d["energy"][0].update(weight="many"), "weight is 'many'"),
        (lambda d: d["energy"][0].update(colour=1), "colour"),
        (lambda d: d["classes"]["standard"].update(virtual_queue=float("nan")), "virtual_queue is nan"),
        (lambda d: d["classes"]["standard"].update(virtual_queue=1e12), "Q is"),
        (lambda d: d["classes"]["standard"].update(served=[1, 2]), "served counts"),
        (lambda d: d["classes"]["standard"].update(served=None), "served is None"),
        (lambda d: d.update(classes=[]), "control"),
        (lambda d: d["counters"].update(events=True), "events is True"),
    ],
)
def test_a_damaged_control_is_refused_and_named(parts, change, complaint):
    with pytest.raises(InvalidSnapshotError, match=complaint):
        decode(edited(parts, change))


@pytest.mark.parametrize("control", [b"", b"\xff", b"[1]", b"{", b"null"])
def test_a_control_that_is_no_document_is_refused(parts, control):
    with pytest.raises(InvalidSnapshotError, match="control"):
        decode({**parts, "control": control})
    with pytest.raises(InvalidSnapshotError, match="control"):
        heads_revision(control)


@pytest.mark.parametrize("place", [0, 15, 16, 200, -1])
def test_damaged_heads_are_refused(parts, place):
    damaged = bytearray(parts["heads"])
    damaged[place] ^= 0x41
    with pytest.raises(InvalidSnapshotError, match="heads"):
        decode({**parts, "heads": bytes(damaged)})


@pytest.mark.parametrize("length", [0, 15, 16, 500])
def test_heads_cut_short_are_refused(parts, length):
    with pytest.raises(InvalidSnapshotError, match="heads"):
        decode({**parts, "heads": parts["heads"][:length]})


def test_missing_parts_and_versions_are_named(parts):
    with pytest.raises(InvalidSnapshotError, match="'control' is missing"):
        decode({})
    with pytest.raises(InvalidSnapshotError, match="version is 0"):
        decode(parts, version=0)


def test_other_shapes_are_refused(parts):
    with pytest.raises(InvalidSnapshotError, match="expected float64"):
        decode(parts, feature_count=3)
    other = policy_from_config("messplus-2024", {}, MODELS)
    with pytest.raises(InvalidSnapshotError, match="arrays"):
        decode(edited(parts, lambda d: d.update(policy=other.name)), policy=other)
