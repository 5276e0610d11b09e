"""Splits whole numbers by weights into whole numbers that add up to them: largest remainders."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["apportion"]

Integers = NDArray[np.int64]
_EXACT_IN_FLOATS = 2**50


def apportion(totals: Integers, weights: NDArray[np.float64]) -> Integers:
    """Parts (rows, n) >= 0 of each of the `totals` (rows,) >= 0, that add up to it row by row.

    Each is less than 1 from its exact value. `weights` (rows, n) are whole numbers >= 0 whose sum in a row is
    above 0 and below 2**53, so that no order of adding them up changes anything. Where remainders tie, the
    earlier entry is rounded up.
    """
    parts, remainders = _round_down(totals, weights)
    missing = totals - parts.sum(axis=1)
    descending = np.sort(remainders, axis=1)[:, ::-1]
    last = descending[np.arange(len(totals)), np.maximum(missing, 1) - 1][:, None]
    above, tied = remainders > last, remainders == last
    rest = missing - np.count_nonzero(above, axis=1)
    parts += above | (tied & (np.cumsum(tied, axis=1) <= rest[:, None]))
    return parts


def _round_down(totals: Integers, weights: NDArray[np.float64]) -> tuple[Integers, NDArray[np.generic]]:
    """Whole parts and what they leave, in a unit of the row's own."""
    if int(totals.max()) * weights.shape[1] < _EXACT_IN_FLOATS:
        exact = totals[:, None] * (weights / weights.sum(axis=1, keepdims=True))
        whole = np.floor(exact)
        return whole.astype(np.int64), exact - whole
    numbers = weights.astype(np.int64).astype(object)
    scaled, sums = totals.astype(object)[:, None] * numbers, numbers.sum(axis=1, keepdims=True)
    parts = scaled // sums
    return parts.astype(np.int64), scaled - parts * sums
