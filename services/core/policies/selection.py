"""Picking one eligible model: shared by the policies, so that ties and limits mean the same in each."""

from collections.abc import Sequence
from itertools import compress

import numpy as np

from services.core.events import FloatArray
from services.core.policies.base import BoolArray, ModelPrior


def largest_eligible(eligible: BoolArray) -> int:
    """The last eligible model of the zoo, whose models go from smallest to largest."""
    return int(np.flatnonzero(eligible)[-1])


def smallest_score(scores: FloatArray, energy_joules: FloatArray, eligible: BoolArray) -> int:
    """The eligible model of the smallest score; ties go to the cheaper, then to the smaller model."""
    # Lists: for ten models they are faster than masked arrays.
    values, may = scores.tolist(), eligible.tolist()
    least = min(compress(values, may))
    tied = [index for index, value in enumerate(values) if value == least and may[index]]
    return tied[0] if len(tied) == 1 else min(tied, key=energy_joules.tolist().__getitem__)


def prior_satisfactions(priors: Sequence[ModelPrior]) -> FloatArray:
    """Prior mean satisfactions, shape (M,); .5 where the operator has no belief."""
    return np.array([0.5 if prior.satisfaction is None else prior.satisfaction for prior in priors])
