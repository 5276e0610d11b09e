"""Least squares under non-negativity, for a handful of coefficients."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["nonnegative_least_squares"]

_TOLERANCE = 1e-12


def nonnegative_least_squares(gram: NDArray[np.float64], moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimises |A c - y|^2 over c >= 0, given `gram` = A'A (n, n), definite, and `moment` = A'y (n,).

    The active-set method of Lawson and Hanson (Solving Least Squares Problems, chapter 23) in the form of Bro
    and de Jong (1997), which needs only the products. Callers scale the columns to a similar size and keep
    `gram` positive definite with a prior; the result is then unique. Raises ValueError for numbers that are
    not finite.
    """
    if not (np.isfinite(gram).all() and np.isfinite(moment).all()):
        raise ValueError("gram and moment must be finite")
    solution = np.zeros(len(moment))
    free = np.zeros(len(moment), dtype=bool)
    slack = moment.copy()
    tolerance = _TOLERANCE * max(1.0, float(np.abs(moment).max(initial=0.0)))
    # Each coefficient enters at most a few times; the bound only guards against cycling in rounding noise.
    for _ in range(10 * len(moment)):
        if free.all() or slack[~free].max() <= tolerance:
            break
        free[np.flatnonzero(~free)[np.argmax(slack[~free])]] = True
        _descend(gram, moment, solution, free)
        slack = moment - gram @ solution
    return solution


def _descend(
    gram: NDArray[np.float64],
    moment: NDArray[np.float64],
    solution: NDArray[np.float64],
    free: NDArray[np.bool_],
) -> None:
    """Goes towards the unconstrained optimum of the free ones, freeing none that would turn negative."""
    while free.any():
        target = np.zeros(len(moment))
        target[free] = np.linalg.solve(gram[np.ix_(free, free)], moment[free])
        blocked = free & (target <= 0)
        if not blocked.any():
            solution[:] = target
            return
        ratios = solution[blocked] / np.maximum(solution[blocked] - target[blocked], np.finfo(float).tiny)
        solution += ratios.min() * (target - solution)
        free &= solution > _TOLERANCE * max(1.0, float(solution.max()))
        solution[~free] = 0.0
