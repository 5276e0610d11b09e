"""How old the energy is that a counter shows: the lag at which its windows fit what the steps should take."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.nnls import nonnegative_least_squares

__all__ = ["LAGS_NANOSECONDS", "MAX_LAG_NANOSECONDS", "CounterLag", "misfit"]

Array = NDArray[np.float64]

_STEP_NANOSECONDS = 5_000_000
MAX_LAG_NANOSECONDS = 250_000_000
LAGS_NANOSECONDS = np.arange(0, MAX_LAG_NANOSECONDS + 1, _STEP_NANOSECONDS)
"""The candidates, ns."""
_MIN_WINDOWS = 256
_HYSTERESIS_NANOSECONDS = 1_000_000
_KEPT = 0.8
_RIDGE = 1e-6


def misfit(joules: Array, columns: Array) -> float:
    """Squared error, J**2, of the energy of windows (n,) under the best costs >= 0 of what they did (n, m).

    The costs are free, so none need be known: what counts is when energy was used, not how much.
    """
    scale = np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
    scaled = columns / scale
    gram = scaled.T @ scaled + _RIDGE * np.eye(columns.shape[1])
    error = joules - scaled @ nonnegative_least_squares(gram, scaled.T @ joules)
    return float(error @ error)


@dataclass(slots=True)
class CounterLag:
    """Collects misfits per candidate over batches of windows."""

    windows: int = 0
    nanoseconds: int = 0
    """The lag; 0 until it is known."""
    _misfits: Array = field(default_factory=lambda: np.zeros(len(LAGS_NANOSECONDS)))

    @property
    def is_known(self) -> bool:
        """Whether enough windows were seen."""
        return self.windows >= _MIN_WINDOWS

    def add(self, misfits: Array, windows: int) -> None:
        """Takes the misfit of each candidate over some windows.

        Older batches fade. A minimum at the longest candidate is none, and leaves the lag as it was.
        """
        self._misfits = _KEPT * self._misfits + windows * misfits / max(misfits.min(), np.finfo(float).tiny)
        self.windows += windows
        best = self._best()
        if self.is_known and best is not None and abs(best - self.nanoseconds) > _HYSTERESIS_NANOSECONDS:
            self.nanoseconds = best

    def _best(self) -> int | None:
        """The minimum, by a parabola through its neighbours."""
        i = int(np.argmin(self._misfits))
        if i == len(LAGS_NANOSECONDS) - 1:
            return None
        if i == 0:
            return 0
        left, middle, right = self._misfits[i - 1 : i + 2]
        bend = left - 2 * middle + right
        offset = 0.5 * (left - right) / bend if bend > 0 else 0.0
        return round(float(LAGS_NANOSECONDS[i]) + offset * _STEP_NANOSECONDS)

    def to_state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"windows": self.windows, "nanoseconds": self.nanoseconds, "misfits": self._misfits.tolist()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "CounterLag":
        """Inverse of `to_state`. Raises ValueError, KeyError or TypeError for what it never wrote."""
        misfits = np.array(state["misfits"], dtype=float)
        if misfits.shape != LAGS_NANOSECONDS.shape or not np.isfinite(misfits).all():
            raise ValueError(f"misfits have shape {misfits.shape}, must be {LAGS_NANOSECONDS.shape}, finite")
        lag = int(state["nanoseconds"])
        if not 0 <= lag <= MAX_LAG_NANOSECONDS:
            raise ValueError(f"the lag is {lag} ns, must be from 0 to {MAX_LAG_NANOSECONDS}")
        return cls(int(state["windows"]), lag, misfits)
