"""What an operator believes of the models before the first request."""

from enum import Enum

import numpy as np

from planner.replay.outcomes import Outcomes
from planner.replay.streams import Stream
from services.core.policies.base import ModelPrior

ERROR = 0.1
"""By how much a rough prior is off, in satisfaction."""
EXPECTED_TOKENS = 300
"""Tokens of an answer that nobody has measured yet."""
_LOWEST, _HIGHEST = 0.02, 0.98
_PRIOR_STREAM = 4


class PriorKind(Enum):
    """How much is believed."""

    NONE = "none"
    """Nothing."""
    ROUGH = "rough"
    """Mean satisfaction, 10 points too high or too low at random per model; joules as a model's joules per
    token (what a profile of the hardware gives) times 300 tokens, where tokens were recorded."""


def make_priors(outcomes: Outcomes, kind: PriorKind, seed: int) -> tuple[ModelPrior, ...]:
    """One prior per model, in the order of `outcomes`."""
    if kind is PriorKind.NONE:
        return tuple(ModelPrior(model) for model in outcomes.model_ids)
    signs = np.random.default_rng((seed, _PRIOR_STREAM)).choice((-1.0, 1.0), len(outcomes.model_ids))
    means = (outcomes.satisfaction.mean(axis=0) + ERROR * signs).clip(_LOWEST, _HIGHEST)
    per_token = outcomes.joules_per_token()
    joules = [None] * len(means) if per_token is None else (EXPECTED_TOKENS * per_token).tolist()
    return tuple(
        ModelPrior(model, satisfaction, energy)
        for model, satisfaction, energy in zip(outcomes.model_ids, means.tolist(), joules, strict=True)
    )


def hindsight_priors(outcomes: Outcomes, stream: Stream) -> tuple[ModelPrior, ...]:
    """The averages of the whole stream, which only a look into the future gives."""
    means = stream.satisfaction.mean(axis=0).tolist()
    joules = stream.energy_joules.mean(axis=0).tolist()
    return tuple(ModelPrior(m, s, e) for m, s, e in zip(outcomes.model_ids, means, joules, strict=True))
