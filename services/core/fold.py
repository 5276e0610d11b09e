"""The fold over the log: `state' = fold(state, event)`, deterministic, without clock or I/O.

It brings the events of a request together; what is learned from them then is in `services.core.learning`.
Models are known by their ids, and the zoo's may change. A request that was answered by a model which the
zoo does not have (any more, or yet) counts for its SLA class like any other: its step, charge, label and
joules. Of the model nothing is learned.

Time is the position of the entries. Folding a log from an empty state, or its tail from any checkpoint,
gives bit-identical states. Offline replay runs this same class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.core.carry_over import carried_over, change_to
from services.core.event_checks import problem_of
from services.core.events import (
    AUDIT,
    Decision,
    EnergyAttributed,
    Entry,
    Event,
    Label,
    ModelGeneration,
    Outcome,
    Position,
    Redecision,
    Role,
)
from services.core.joins import Generation, Join, JoinLimits, JoinTable
from services.core.learner_codec import (
    CONTROL,
    HEADS,
    MEMORY,
    decode_state,
    encode_control,
    encode_heads,
    encode_memory,
)
from services.core.learner_state import LearnerState
from services.core.learning import Learning
from services.core.model_change import ModelChange
from services.core.policies.base import ModelPrior, Policy

__all__ = ["DeadEvent", "Delta", "Fold", "FoldSettings", "JoinLimits"]


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """What an operator may set of the fold.

    Attributes:
        joins: how long and how many requests wait for events.
        prior_energy_observations: measured generations that an operator's joules weigh, >= 0.

    """

    joins: JoinLimits = field(default_factory=JoinLimits)
    prior_energy_observations: float = 10.0


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that could not be processed, and why."""

    position: Position
    reason: str
    event: Event


@dataclass(frozen=True, slots=True)
class Delta:
    """What to write so that the store holds the state at `position`; ids set and deleted are disjoint.

    Attributes:
        position: newest entry covered.
        parts_changed: part name -> bytes; `control` always, `heads` and `memory` only after learning.
        joins_set: request id -> join.
        joins_deleted: request ids.
        dead: events to put aside.

    """

    position: Position
    parts_changed: dict[str, bytes]
    joins_set: dict[str, bytes]
    joins_deleted: list[str]
    dead: list[DeadEvent]


class Fold:
    """Folds entries of one zoo's log into its learned state.

    Args:
        policy: the zoo's policy.
        priors: one per model, in the zoo's order.
        feature_count: d.
        settings: limits and weights.

    """

    def __init__(
        self,
        policy: Policy[Any],
        priors: Sequence[ModelPrior],
        feature_count: int,
        settings: FoldSettings | None = None,
    ) -> None:
        self._policy, self._priors, self._feature_count = policy, tuple(priors), feature_count
        self._settings = settings or FoldSettings()
        self._joins = JoinTable(self._settings.joins)
        self._dead: list[DeadEvent] = []
        self._heads_stored: int | None = None
        observations = self._settings.prior_energy_observations
        self._learning = Learning(policy, self._priors, feature_count, observations)

    @property
    def state(self) -> LearnerState:
        """What is learned from the log up to `position`."""
        return self._learning.state

    @property
    def position(self) -> Position:
        """The newest entry that the state covers."""
        return self.state.position

    @property
    def open_joins(self) -> int:
        """Requests that wait for events."""
        return len(self._joins)

    def restore(self, parts: Mapping[str, bytes], joins: Mapping[str, bytes]) -> ModelChange:
        """Takes the state of a checkpoint; one of another list of models is carried over to this one.

        Returns how the models changed. Raises InvalidSnapshotError, and then changes nothing.
        """
        stored = decode_state(self._policy, self._priors, self._feature_count, parts)
        self._joins = JoinTable.restored(self._settings.joins, joins)
        self._heads_stored, self._dead = stored.heads_revision, []
        observations = self._settings.prior_energy_observations
        change = change_to(stored.model_ids, self._priors)
        self._learning.state = carried_over(
            self._policy, stored, self._priors, self._feature_count, observations
        )
        return change

    def checkpoint_delta(self) -> Delta:
        """All that changed since the last call (or `restore`; at first, everything).

        The caller must store it before asking again: what is handed out here is not handed out twice.
        """
        parts = {CONTROL: encode_control(self._policy, self.state)}
        if self._heads_stored != self.state.heads_revision:
            parts[HEADS] = encode_heads(self._policy, self.state)
            parts[MEMORY] = encode_memory(self._policy, self.state)
            self._heads_stored = self.state.heads_revision
        joins_set, joins_deleted = self._joins.take_changes()
        return Delta(self.position, parts, joins_set, joins_deleted, self.take_dead())

    def take_dead(self) -> list[DeadEvent]:
        """Events put aside since the last call."""
        dead, self._dead = self._dead, []
        return dead

    def apply(self, entry: Entry) -> None:
        """Folds the next entry; one at or before `position` was folded already and is skipped."""
        if entry.position <= self.position:
            return
        self.state.position = entry.position
        self.state.counters.events += 1
        for request_id, join, reason in self._joins.overdue(entry.position.milliseconds):
            self._give_up(join, f"request {request_id!r}: {reason}")
        if problem := problem_of(entry.event, self._feature_count):
            self._bury(entry, problem)
        elif isinstance(entry.event, Decision):
            self._decide(entry, entry.event)
        else:
            self._follow(entry)
        for request_id, join, reason in self._joins.surplus():
            self._give_up(join, f"request {request_id!r}: {reason}")

    def _decide(self, entry: Entry, event: Decision) -> None:
        early = self._joins.get(event.request_id)
        if early is not None and early.decided:
            self._bury(entry, f"request {event.request_id!r} was decided before")
            return
        join = self._opened(entry.position, event)
        if early is not None:
            join.waiting, join.stored = early.waiting, early.stored
        self._joins.put(event.request_id, join)
        self._learning.take_decision(join, event)
        self._replay_waiting(join)
        self._settle(event.request_id, join)

    def _opened(self, position: Position, event: Decision) -> Join:
        served = ModelGeneration(event.model_id, event.generation_id)
        policy = self._policy
        keeps_features = event.explored or policy.learns_from_served or policy.learns_energy
        return Join(
            position,
            event.sla_class,
            event.min_satisfaction,
            event.charged_satisfaction,
            features=event.features.astype("<f2").tobytes() if keeps_features else b"",
            # Without loads the second is empty: then so is the result.
            load_factors=dict(zip(event.model_ids, event.load_factors, strict=False)),
            explored=event.explored,
            generations=[
                Generation(g.generation_id, g.model_id) for g in (served, *event.explored_generations)
            ],
        )

    def _follow(self, entry: Entry) -> None:
        """An event that is not a decision: joins its request's others."""
        request_id = entry.event.request_id
        join = self._joins.get(request_id)
        if join is None:
            # A generation that ended well tells the fold nothing, so it need not wait for a decision.
            if not isinstance(entry.event, Outcome) or entry.event.role is Role.FAILED:
                self._joins.put(request_id, Join(entry.position, waiting=[entry]))
            return
        self._take(join, entry)
        self._settle(request_id, join)

    def _settle(self, request_id: str, join: Join) -> None:
        """Learns from what is complete and closes the join, or keeps it."""
        if not join.decided or not join.complete:
            if join.decided and join.fully_labelled:
                self._learning.take_exploration(join)
            self._joins.put(request_id, join)
            return
        self._joins.close(request_id)
        self._give_up(join, f"request {request_id!r} had no such generation", expired=False)

    def _take(self, join: Join, entry: Entry) -> None:
        if not join.decided:
            self._wait(join, entry)
            return
        match entry.event:
            case Label() as label:
                self._take_label(join, entry, label)
            case EnergyAttributed() as energy:
                self._take_energy(join, entry, energy)
            case Redecision() as redecision:
                self._take_redecision(join, redecision)
            case Outcome() as outcome:
                self._take_outcome(join, entry, outcome)

    def _wait(self, join: Join, entry: Entry) -> None:
        if len(join.waiting) < self._settings.joins.max_waiting_events:
            join.waiting.append(entry)
        else:
            self._bury(entry, f"too many events of request {entry.event.request_id!r} wait already")

    def _replay_waiting(self, join: Join) -> None:
        waiting, join.waiting = join.waiting, []
        for entry in waiting:
            self._take(join, entry)

    def _take_label(self, join: Join, entry: Entry, event: Label) -> None:
        generation = join.find(event.generation_id)
        if generation is None:
            self._wait(join, entry)
        elif generation.label is not None:
            self.state.counters.repeats += 1
        else:
            generation.label = float(event.satisfaction)
            generation.audited = event.source == AUDIT
            self.state.counters.labels_learned += 1
            self._learning.take_served_label(join)

    def _take_energy(self, join: Join, entry: Entry, event: EnergyAttributed) -> None:
        generation = join.find(event.generation_id)
        if generation is None:
            self._wait(join, entry)
        elif generation.model_id != event.model_id:
            self._bury(entry, f"generation {event.generation_id!r} is not of model {event.model_id!r}")
        elif generation.has_energy:
            self.state.counters.repeats += 1
        else:
            generation.has_energy = True
            self._learning.take_energy(join, generation, event)

    def _take_redecision(self, join: Join, event: Redecision) -> None:
        old = join.generations[join.served]
        if old.generation_id == event.generation_id:
            self.state.counters.repeats += 1
            return
        new = join.find(event.generation_id)
        if new is None:
            new = Generation(event.generation_id, event.model_id)
            join.generations.append(new)
        old.failed = True
        if new.label is None:
            # A verdict on "the served answer" that came first meant the answer that was really given.
            new.label, old.label = old.label, None
            new.audited = old.audited
        join.served = join.generations.index(new)
        self._learning.take_redecision(join, old.model_id, event)
        self._learning.take_served_label(join)
        self._replay_waiting(join)

    def _take_outcome(self, join: Join, entry: Entry, event: Outcome) -> None:
        if event.role is not Role.FAILED:
            return
        generation = join.find(event.generation_id)
        if generation is None:
            self._wait(join, entry)
        else:
            generation.failed = True

    def _give_up(self, join: Join, reason: str, expired: bool = True) -> None:
        """A join was closed: learns from what came of an exploration, puts aside what was never matched."""
        self.state.counters.expired_joins += expired
        if join.decided:
            self._learning.take_exploration(join)
        for entry in join.waiting:
            self._bury(entry, reason)

    def _bury(self, entry: Entry, reason: str) -> None:
        self.state.counters.dead_events += 1
        self._dead.append(DeadEvent(entry.position, reason, entry.event))
