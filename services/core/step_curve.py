"""What an engine had done by any moment: windows can then be cut anywhere, at any lag."""

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

__all__ = ["StepCurve"]

Array = NDArray[np.float64]


class StepCurve:
    """Cumulative features of steps, each spread evenly over its time. Steps may overlap.

    Args:
        starts, ends: (n,) ns, ends > starts.
        features: (n, m) of the steps.
        origin_nanoseconds: times are counted from here, so that they keep their precision as floats.

    """

    def __init__(
        self, starts: Sequence[int], ends: Sequence[int], features: Array, origin_nanoseconds: int
    ) -> None:
        self._origin = origin_nanoseconds
        begin, end = self._relative(starts), self._relative(ends)
        rates = features / (end - begin)[:, None]
        times = np.concatenate([begin, end])
        order = np.argsort(times, kind="stable")
        self._times = times[order]
        slopes = np.cumsum(np.concatenate([rates, -rates])[order], axis=0)
        grown = np.cumsum(slopes[:-1] * np.diff(self._times)[:, None], axis=0)
        self._values = np.vstack([np.zeros(features.shape[1]), grown]) if len(times) else grown

    def only(self, features: int) -> "StepCurve":
        """The curve of the first features."""
        first = copy(self)
        first._values = self._values[:, :features]
        return first

    def between(self, starts: Sequence[int], ends: Sequence[int], lag_nanoseconds: float = 0.0) -> Array:
        """Features (k, m) inside the intervals [start, end), all shifted back by a lag."""
        return self._at(self._relative(ends) - lag_nanoseconds) - self._at(
            self._relative(starts) - lag_nanoseconds
        )

    def _at(self, times: Array) -> Array:
        if not len(self._times):
            return np.zeros((len(times), self._values.shape[1]))
        return np.column_stack([np.interp(times, self._times, column) for column in self._values.T])

    def _relative(self, nanoseconds: Sequence[int]) -> Array:
        return np.array([value - self._origin for value in nanoseconds], dtype=float)
