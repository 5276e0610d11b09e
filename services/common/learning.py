"""What routers and the learner must agree on: policy, priors and number of features of a zoo."""

from typing import Any

from services.common.profile_prior import request_prior
from services.common.zoo import Zoo
from services.core.features import EMBEDDING_SIZE, FEATURE_COUNT
from services.core.policies.base import ModelPrior, Policy
from services.core.policies.registry import policy_from_config


def policy_of(zoo: Zoo) -> Policy[Any]:
    """The zoo's policy. Raises PolicyConfigError for an unknown name or parameter, or a prior it needs."""
    policy = policy_from_config(zoo.policy.name, zoo.policy.parameters, zoo.model_ids)
    policy.initial_state(priors_of(zoo), feature_count_of(zoo))
    return policy


def priors_of(zoo: Zoo) -> tuple[ModelPrior, ...]:
    """What the operator believes of each model, in the zoo's order. Raises ProfileError."""
    return tuple(ModelPrior(m.id, m.prior.satisfaction, request_prior(m).energy_joules) for m in zoo.models)


def feature_count_of(zoo: Zoo) -> int:
    """d: the length of this zoo's feature vectors."""
    return FEATURE_COUNT if zoo.features == "compact" else EMBEDDING_SIZE
