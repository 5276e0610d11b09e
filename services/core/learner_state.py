"""All that was learned from the log up to one position; open joins aside, see `services.core.joins`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.core.events import START, FloatArray, Position
from services.core.ledger import Ledger
from services.core.policies.base import ClassView, ModelPrior, Policy
from services.core.virtual_queue import updated_queue


@dataclass(slots=True)
class ClassStatistics:
    """What is known of one SLA class.

    Attributes:
        served: answers served per model of today's zoo, shape (M,).
        steps: decisions so far (the log's step number of the newest).
        labelled: requests whose served answer was labelled.
        satisfaction_sum: sum of those labels.
        virtual_queue: Q, >= 0.
        explorations: exploration steps so far.
        energy_joules: joules of all generations, explored and failed ones included.
        exploration_energy_joules: joules of the explored generations.
        ledger: what is owed, and the share of answers that get a label.

    """

    served: list[int]
    steps: int = 0
    labelled: int = 0
    satisfaction_sum: float = 0.0
    virtual_queue: float = 0.0
    explorations: int = 0
    energy_joules: float = 0.0
    exploration_energy_joules: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def mean_satisfaction(self) -> float | None:
        """Mean label of the served answers; None before the first."""
        return self.satisfaction_sum / self.labelled if self.labelled else None

    def view(self, name: str, min_satisfaction: float, step: int, decision_debt: float) -> ClassView:
        """The class as a policy sees it, with what is newer than these statistics."""
        return ClassView(
            min_satisfaction,
            step,
            self.virtual_queue,
            decision_debt,
            name,
            self.ledger.label_credit,
            self.ledger.label_rate,
            self.labelled,
        )

    def model_shares(self) -> tuple[float, ...]:
        """Share of served answers per model, shape (M,); zeros before the first decision."""
        total = sum(self.served)
        return tuple(count / total if total else 0.0 for count in self.served)

    def count_decision(self, step: int, explored: bool) -> None:
        """A request was routed."""
        self.steps = max(self.steps, step)
        self.explorations += explored

    def count_served(self, model_index: int | None, change: int = 1) -> None:
        """A model serves one request more, or one less; None: a model that the zoo does not have."""
        if model_index is not None:
            self.served[model_index] += change

    def count_label(self, min_satisfaction: float, satisfaction: float) -> None:
        """A served answer got its label: updates Q."""
        self.labelled += 1
        self.satisfaction_sum += satisfaction
        self.virtual_queue = updated_queue(self.virtual_queue, min_satisfaction, satisfaction)

    def count_energy(self, energy_joules: float, explored: bool) -> None:
        """A generation of this class got its joules."""
        self.energy_joules += energy_joules
        if explored:
            self.exploration_energy_joules += energy_joules


@dataclass(slots=True)
class ModelEnergy:
    """Running mean of a model's joules per generation.

    Attributes:
        samples: generations with attributed energy.
        weight: the same plus the prior's pseudo-observations.
        total_joules: their sum, the prior's pseudo-observations included.

    """

    samples: int = 0
    weight: float = 0.0
    total_joules: float = 0.0

    @classmethod
    def from_prior(cls, energy_joules: float | None, observations: float) -> "ModelEnergy":
        """A mean that an operator's prior starts, worth `observations` measured ones."""
        return cls() if energy_joules is None else cls(0, observations, observations * energy_joules)

    def add(self, energy_joules: float) -> None:
        """One more generation."""
        self.samples += 1
        self.weight += 1.0
        self.total_joules += energy_joules


@dataclass(slots=True)
class Counters:
    """What the fold did so far.

    Attributes:
        events: entries folded.
        labels_learned: labels that changed the state.
        explorations_learned: exploration steps that the policy learned from.
        repeats: labels and energy figures that repeated an earlier one.
        expired_joins: joins given up at their time limit or at the cap.
        dead_events: events that could not be processed.

    """

    events: int = 0
    labels_learned: int = 0
    explorations_learned: int = 0
    repeats: int = 0
    expired_joins: int = 0
    dead_events: int = 0


@dataclass(slots=True)
class LearnerState:
    """Everything learned up to `position`, open joins aside.

    Attributes:
        model_ids: the zoo's models, from smallest to largest.
        policy_state: the policy's own state.
        energy: per model, in the same order.
        position: newest entry of the log that is in here.
        heads_revision: times that the policy state changed; routers fetch `heads` when it moved.
        classes: SLA class name -> what is known of it.
        counters: what the fold did.

    """

    model_ids: tuple[str, ...]
    policy_state: Any
    energy: list[ModelEnergy]
    position: Position = START
    heads_revision: int = 0
    classes: dict[str, ClassStatistics] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    def sla_class(self, name: str) -> ClassStatistics:
        """Statistics of a class, new ones at its first mention."""
        if name not in self.classes:
            self.classes[name] = ClassStatistics([0] * len(self.model_ids))
        return self.classes[name]


def initial_state(
    policy: Policy[Any], priors: Sequence[ModelPrior], feature_count: int, prior_observations: float
) -> LearnerState:
    """The state before any event; an operator's joules count as `prior_observations` measured ones."""
    return LearnerState(
        tuple(prior.model_id for prior in priors),
        policy.initial_state(priors, feature_count),
        [ModelEnergy.from_prior(prior.energy_joules, prior_observations) for prior in priors],
    )


def energy_means_joules(state: LearnerState) -> FloatArray:
    """E_m: mean joules per generation, shape (M,), > 0.

    A model never measured and without a prior counts as the mean of the others, and as 1 J where none is
    known: then all are equal, and satisfaction alone decides.
    """
    known = [e.total_joules / e.weight for e in state.energy if e.weight > 0]
    stand_in = sum(known) / len(known) if known else 1.0
    means = [e.total_joules / e.weight if e.weight > 0 else stand_in for e in state.energy]
    return np.array(means)
