"""What is learned of a request once its events are together: its charge, its labels, its joules.

`services.core.fold` says when; here is what then happens to the learned state.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.core.events import Decision, EnergyAttributed, FloatArray, Redecision
from services.core.joins import Generation, Join
from services.core.learner_state import ClassStatistics, LearnerState, initial_state
from services.core.policies.base import ClassView, ModelPrior, Policy

__all__ = ["Learning"]


class Learning:
    """Changes the learned state.

    Args:
        policy: the zoo's policy.
        priors: one per model, in the zoo's order.
        feature_count: d.
        prior_energy_observations: measured generations that an operator's joules weigh, >= 0.

    Attributes:
        state: what is learned so far.

    """

    def __init__(
        self,
        policy: Policy[Any],
        priors: Sequence[ModelPrior],
        feature_count: int,
        prior_energy_observations: float,
    ) -> None:
        self._policy = policy
        self._models = {prior.model_id: index for index, prior in enumerate(priors)}
        self.state: LearnerState = initial_state(policy, priors, feature_count, prior_energy_observations)

    def take_decision(self, join: Join, event: Decision) -> None:
        """Charges the class, and gives the join its number there."""
        statistics = self.state.sla_class(event.sla_class)
        model_index = self._models.get(event.model_id)
        statistics.count_decision(event.step, event.explored)
        statistics.count_served(model_index)
        join.number = statistics.ledger.decide(
            event.decision_debt, event.min_satisfaction - event.charged_satisfaction
        )
        self._forgive(join, statistics)
        if self._policy.learns_from_served and model_index is not None:
            sla, factors = _view(join, statistics), self._load_factors(join)
            self._policy.learn_decision(self.state.policy_state, _features(join), model_index, sla, factors)
            self.state.heads_revision += 1

    def _load_factors(self, join: Join) -> FloatArray | None:
        """Of today's models, shape (M,); 1 of one that the router did not know."""
        factors = join.load_factors
        return np.array([factors.get(model_id, 1.0) for model_id in self._models]) if factors else None

    def _forgive(self, join: Join, statistics: ClassStatistics) -> None:
        """What the policy says cannot be paid back, so that debt does not wind up."""
        bounds = self._policy.debt_bounds(self.state.policy_state, _view(join, statistics))
        statistics.ledger.clip(*bounds)

    def take_redecision(self, join: Join, served_before: str, event: Redecision) -> None:
        """A generation of another model than `served_before` is served now: its charge, its share."""
        statistics = self.state.sla_class(join.sla_class)
        change = join.charged_satisfaction - event.charged_satisfaction
        statistics.ledger.redecide(change, credited=join.counted)
        join.charged_satisfaction = event.charged_satisfaction
        statistics.count_served(self._models.get(served_before), -1)
        statistics.count_served(self._models.get(join.generations[join.served].model_id))

    def take_served_label(self, join: Join) -> None:
        """Credits the class with the served answer's label, if it is there, once; learns from it."""
        served = join.generations[join.served]
        if join.counted or served.label is None:
            return
        join.counted = True
        statistics = self.state.sla_class(join.sla_class)
        statistics.count_label(join.min_satisfaction, served.label)
        ratio = self._policy.answer_ratio(self.state.policy_state)
        statistics.ledger.credit(
            join.number, join.charged_satisfaction, served.label, ratio, audited=served.audited
        )
        self._forgive(join, statistics)
        model_index = self._models.get(served.model_id)
        if self._policy.learns_from_served and model_index is not None:
            self._policy.learn_label(
                self.state.policy_state, _features(join), model_index, served.label, audited=served.audited
            )
            self.state.heads_revision += 1

    def take_exploration(self, join: Join) -> None:
        """Learns, once, from the labels of an exploration that taught nothing yet."""
        if not join.explored or join.learned:
            return
        labels = np.full(len(self._models), np.nan)
        for generation in join.generations:
            taught = join.counted and generation is join.generations[join.served]
            model_index = self._models.get(generation.model_id)
            if generation.label is None or model_index is None:
                continue
            if not (taught and self._policy.learns_from_served):
                labels[model_index] = generation.label
        if np.isnan(labels).all():
            return
        join.learned = True
        self._policy.learn_exploration(self.state.policy_state, _features(join), labels)
        self.state.heads_revision += 1
        self.state.counters.explorations_learned += 1

    def take_energy(self, join: Join, generation: Generation, event: EnergyAttributed) -> None:
        """Adds a generation's joules to its class; learns from them where they are a whole answer's."""
        energy_joules = float(event.energy_joules)
        explored = not generation.failed and generation is not join.generations[join.served]
        self.state.sla_class(join.sla_class).count_energy(energy_joules, explored)
        model_index = self._models.get(generation.model_id)
        if generation.failed or model_index is None or event.quality == "ESTIMATED":
            # Half an answer costs real joules, but says nothing of what one costs; nor does an estimate.
            return
        self.state.energy[model_index].add(energy_joules)
        if self._policy.learns_energy:
            idle_joules = energy_joules / join.load_factors.get(generation.model_id, 1.0)
            self._policy.learn_energy(self.state.policy_state, _features(join), model_index, idle_joules)
            self.state.heads_revision += 1


def _view(join: Join, statistics: ClassStatistics) -> ClassView:
    """The class of a request as the policy sees it after the newest entry."""
    ledger = statistics.ledger
    return statistics.view(join.sla_class, join.min_satisfaction, statistics.steps, ledger.decision_debt)


def _features(join: Join) -> FloatArray:
    return np.frombuffer(join.features, "<f2").astype(np.float64)
