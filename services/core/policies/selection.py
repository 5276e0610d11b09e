"""Picking one eligible model: shared by the policies, so that ties and limits mean the same in each."""

from collections.abc import Sequence

import numpy as np

from services.core.events import FloatArray
from services.core.policies.base import BoolArray, ModelPrior


def largest_eligible(eligible: BoolArray) -> int:
    """The last eligible model of the zoo, whose models go from smallest to largest."""
    return int(np.flatnonzero(eligible)[-1])


def smallest_score(scores: FloatArray, energy_joules: FloatArray, eligible: BoolArray) -> int:
    """The eligible model of the smallest score; ties go to the cheaper, then to the smaller model."""
    # Lists: for ten models they are faster than masked arrays, and an exact tie is easier to see.
    candidates = zip(scores.tolist(), energy_joules.tolist(), range(len(scores)), strict=True)
    return min(candidate for candidate, may in zip(candidates, eligible.tolist(), strict=True) if may)[2]


def prior_satisfactions(priors: Sequence[ModelPrior]) -> FloatArray:
    """Prior mean satisfactions, shape (M,); .5 where the operator has no belief."""
    return np.array([0.5 if prior.satisfaction is None else prior.satisfaction for prior in priors])
