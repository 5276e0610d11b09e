"""What routers hold of the learned state: read-only, checked before use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.core.carry_over import change_to, with_statistics_of
from services.core.errors import InvalidSnapshotError
from services.core.event_checks import MAX_ENERGY_JOULES
from services.core.events import FloatArray
from services.core.learner_codec import CONTROL, HEADS, decode_control, decode_heads
from services.core.learner_state import (
    ClassStatistics,
    Counters,
    LearnerState,
    ModelEnergy,
    energy_means_joules,
    initial_state,
)
from services.core.policies.base import ClassView, ModelPrior, Policy

_MAX_VIRTUAL_QUEUE = 1e9


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Learned state of one version. Nothing in it may be changed.

    Attributes:
        version: of the learner's checkpoint; 0 for the priors alone.
        heads_revision: revision of `policy_state`; equal ones are the same state.
        policy_state: what `Policy.decide` takes.
        classes: SLA class name -> what is known of it; a class without decisions is absent.
        energy: per model, the samples behind its mean.
        energy_joules: E_m, mean joules per model, shape (M,), > 0.
        counters: what the learner did so far.
        model_ids: whom it is for, in the zoo's order.

    """

    version: int
    heads_revision: int
    policy_state: Any
    classes: Mapping[str, ClassStatistics]
    energy: Sequence[ModelEnergy]
    energy_joules: FloatArray
    counters: Counters
    model_ids: tuple[str, ...]

    def virtual_queue(self, sla_class: str) -> float:
        """Q of a class; 0 before its first label."""
        statistics = self.classes.get(sla_class)
        return statistics.virtual_queue if statistics else 0.0

    def view(self, sla_class: str, min_satisfaction: float, step: int, decision_debt: float) -> ClassView:
        """A class as `Policy.decide` sees it; step and decision debt are newer than this snapshot."""
        statistics = self.classes.get(sla_class)
        if statistics is None:
            # Nothing of it was learned yet, so nothing is owed: what is charged is still unconfirmed.
            return ClassView(min_satisfaction, step, 0.0, decision_debt, sla_class)
        return statistics.view(sla_class, min_satisfaction, step, decision_debt)


def prior_snapshot(
    policy: Policy[Any], priors: Sequence[ModelPrior], feature_count: int, prior_observations: float
) -> Snapshot:
    """What is known before any event: the operator's priors, as version 0."""
    return _snapshot(0, initial_state(policy, priors, feature_count, prior_observations))


def decode_snapshot(
    version: int,
    parts: Mapping[str, bytes],
    policy: Policy[Any],
    priors: Sequence[ModelPrior],
    feature_count: int,
    previous: Snapshot | None = None,
    prior_observations: float = 10.0,
) -> Snapshot:
    """A snapshot from the learner's parts, for the models of `priors`.

    Learner and routers change over to another list of models one after the other: what the learner learned
    for another list is carried over, the joules of a new model being its prior's, worth
    `prior_observations` measured ones.

    `heads` may be left out where `previous` is of the same revision (`learner_state.heads_revision` tells
    it from `control`): then only the small part travels.

    Raises:
        InvalidSnapshotError: a part is missing, damaged, of another policy or revision, or holds numbers
            that are not finite or out of range; the message says which.

    """
    if version < 1:
        raise InvalidSnapshotError(f"version is {version}, expected >= 1")
    if CONTROL not in parts:
        raise InvalidSnapshotError(f"part {CONTROL!r} is missing")
    state = decode_control(policy, parts[CONTROL])
    change = change_to(state.model_ids, priors)
    # A version that runs backwards is a log begun anew: its revisions say nothing about the old ones.
    same_log = previous is not None and 0 < previous.version <= version
    if previous is not None and same_log and previous.heads_revision == state.heads_revision:
        state.policy_state = previous.policy_state
    elif HEADS in parts:
        heads = decode_heads(policy, priors, feature_count, parts[HEADS], state)
        state.policy_state = policy.carried_over(heads, change, priors, feature_count) if change else heads
    else:
        raise InvalidSnapshotError(f"part {HEADS!r} is missing for revision {state.heads_revision}")
    return _snapshot(version, with_statistics_of(change, state, priors, prior_observations))


def carried_snapshot(
    policy: Policy[Any],
    snapshot: Snapshot,
    priors: Sequence[ModelPrior],
    feature_count: int,
    prior_observations: float,
) -> Snapshot:
    """The snapshot for the models of `priors`: what is known until the learner's first one for them."""
    change = change_to(snapshot.model_ids, priors)
    if not change:
        return snapshot
    policy_state = policy.carried_over(snapshot.policy_state, change, priors, feature_count)
    state = LearnerState(
        snapshot.model_ids,
        policy_state,
        list(snapshot.energy),
        heads_revision=snapshot.heads_revision,
        classes=dict(snapshot.classes),
        counters=snapshot.counters,
    )
    return _snapshot(snapshot.version, with_statistics_of(change, state, priors, prior_observations))


def _snapshot(version: int, state: LearnerState) -> Snapshot:
    means = energy_means_joules(state)
    if not (np.isfinite(means).all() and (means >= 0).all() and (means <= MAX_ENERGY_JOULES).all()):
        raise InvalidSnapshotError(f"mean joules are {means.tolist()}, allowed: 0 to {MAX_ENERGY_JOULES:g}")
    for name, statistics in state.classes.items():
        if statistics.virtual_queue > _MAX_VIRTUAL_QUEUE:
            raise InvalidSnapshotError(f"class {name}: Q is {statistics.virtual_queue!r}, allowed: up to 1e9")
    return Snapshot(
        version,
        state.heads_revision,
        state.policy_state,
        state.classes,
        state.energy,
        means,
        state.counters,
        state.model_ids,
    )
