"""From a zoo to its fold, and the fingerprint that tells whether a checkpoint was learned for this zoo."""

import json

from services.common.learning import feature_count_of, policy_of, priors_of
from services.common.zoo import Zoo
from services.core.fold import Fold, FoldSettings, JoinLimits


def empty_fold(zoo: Zoo) -> Fold:
    """The zoo's fold before any event. Raises ConfigError for a wrong policy."""
    learning = zoo.learning
    limits = JoinLimits(
        max_age_milliseconds=learning.join_ttl_seconds * 1000, max_open=learning.max_open_joins
    )
    settings = FoldSettings(joins=limits, prior_energy_observations=learning.energy_prior_requests)
    return Fold(policy_of(zoo), priors_of(zoo), feature_count_of(zoo), settings)


def fingerprint(zoo: Zoo) -> bytes:
    """What learned state depends on and cannot be carried over from: policy and features.

    Models are left out: their state is carried over by id. So are priors and limits: to change them forgets
    nothing, it only matters for what comes.
    """
    document = {
        "policy": zoo.policy.name,
        "parameters": zoo.policy.parameters,
        "features": zoo.features,
        "feature_count": feature_count_of(zoo),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
