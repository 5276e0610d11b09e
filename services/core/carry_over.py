"""Learned state of one list of models carried over to another.

Models are matched by their ids. What was learned of kept models and of SLA classes stays as it is, new
models start from their priors, removed ones are forgotten: one that comes back starts anew.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.core.learner_state import ClassStatistics, LearnerState, ModelEnergy
from services.core.model_change import ModelChange
from services.core.policies.base import ModelPrior, Policy


def change_to(model_ids: Sequence[str], priors: Sequence[ModelPrior]) -> ModelChange:
    """From the models that a state was learned for to those of `priors`."""
    return ModelChange(tuple(model_ids), tuple(prior.model_id for prior in priors))


def carried_over(
    policy: Policy[Any],
    state: LearnerState,
    priors: Sequence[ModelPrior],
    feature_count: int,
    prior_observations: float,
) -> LearnerState:
    """The learner's state for the models of `priors`; the old one must not be used any more.

    It counts as a new revision of the policy's state, so that it is stored and fetched as a whole.
    """
    change = change_to(state.model_ids, priors)
    if not change:
        return state
    moved = with_statistics_of(change, state, priors, prior_observations)
    moved.policy_state = policy.carried_over(state.policy_state, change, priors, feature_count)
    moved.heads_revision += 1
    return moved


def with_statistics_of(
    change: ModelChange, state: LearnerState, priors: Sequence[ModelPrior], prior_observations: float
) -> LearnerState:
    """The state with all but the policy's own, which is left as it is, for the changed list of models."""
    initial = [ModelEnergy.from_prior(prior.energy_joules, prior_observations) for prior in priors]
    return replace(
        state,
        model_ids=change.new_ids,
        energy=change.items(state.energy, initial),
        classes={name: _moved(statistics, change) for name, statistics in state.classes.items()},
    )


def _moved(statistics: ClassStatistics, change: ModelChange) -> ClassStatistics:
    """Answers served by removed models stay in every figure of the class but the shares per model."""
    return replace(statistics, served=change.items(statistics.served, [0] * len(change.new_ids)))
