"""Splits a whole number by weights into whole numbers that add up to it: largest remainders."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["apportion"]

_EXACT_IN_FLOATS = 2**50


def apportion(
    total: int, weights: NDArray[np.float64], rank: Callable[[int], tuple[str, int]]
) -> NDArray[np.int64]:
    """Parts (n,) >= 0 of `total` >= 0, each less than 1 from its exact value, that add up to `total`.

    `weights` (n,) are whole numbers >= 0 whose sum is above 0 and below 2**53, so that no order of adding
    them up changes anything. Where remainders tie, the entry of the smaller rank is rounded up.
    """
    parts, remainders = _round_down(total, weights)
    missing = total - int(parts.sum())
    if missing:
        last = np.sort(remainders)[-missing]
        above = remainders > last
        tied = np.flatnonzero(remainders == last).tolist()
        parts[above] += 1
        rest = missing - int(above.sum())
        parts[tied if rest == len(tied) else sorted(tied, key=rank)[:rest]] += 1
    return parts


def _round_down(total: int, weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    """Whole parts and what they leave, in any one unit."""
    if total * len(weights) < _EXACT_IN_FLOATS:
        exact = total * (weights / weights.sum())
        whole = np.floor(exact)
        return whole.astype(np.int64), exact - whole
    numbers = weights.astype(np.int64).astype(object)
    parts = total * numbers // numbers.sum()
    return parts.astype(np.int64), total * numbers - parts * numbers.sum()
