"""In which order recorded requests arrive, and what changes on the way."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from planner.replay.outcomes import Outcomes
from services.core.events import FloatArray

LOST_SHARE = 0.3
"""Drift: share of the cheapest model's right answers that turn wrong."""
ENERGY_FACTOR = 1.5
"""Drift: by what the dearest model's joules are multiplied."""
_ORDER_STREAM, _DRIFT_STREAM = 1, 2


class Order(Enum):
    """How requests arrive."""

    RANDOM = "random"
    """Shuffled."""
    SORTED = "sorted"
    """Topic by topic: topics in shuffled order, shuffled inside."""
    DRIFT = "drift"
    """Shuffled; from the middle on the cheapest model loses 30 % of its right answers and the dearest one
    costs 1.5 times its joules."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Requests in order of arrival, with what each model makes of them at that moment."""

    indices: npt.NDArray[np.int64]
    """Which request of the data arrives, shape (n,)."""
    satisfaction: FloatArray
    """Shape (n, M), in [0, 1]."""
    energy_joules: FloatArray
    """Shape (n, M), >= 0."""


def make_stream(outcomes: Outcomes, order: Order, seed: int) -> Stream:
    """The stream of a seed; the same seed gives the same shuffling in the orders `random` and `drift`."""
    rng = np.random.default_rng((seed, _ORDER_STREAM))
    indices = rng.permutation(len(outcomes))
    if order is Order.SORTED:
        topics = {
            name: i for i, name in enumerate(rng.permutation(sorted(set(outcomes.benchmarks))).tolist())
        }
        rank = np.array([topics[name] for name in outcomes.benchmarks])
        indices = indices[np.argsort(rank[indices], kind="stable")]
    satisfaction, joules = outcomes.satisfaction[indices], outcomes.energy_joules[indices]
    if order is Order.DRIFT:
        _drift(satisfaction, joules, np.random.default_rng((seed, _DRIFT_STREAM)))
    return Stream(indices, satisfaction, joules)


def _drift(satisfaction: FloatArray, joules: FloatArray, rng: np.random.Generator) -> None:
    means = joules.mean(axis=0)
    cheapest, dearest = int(means.argmin()), int(means.argmax())
    middle = len(joules) // 2
    lost = rng.random(len(joules) - middle) < LOST_SHARE
    satisfaction[middle:, cheapest][lost] = 0.0
    joules[middle:, dearest] *= ENERGY_FACTOR
