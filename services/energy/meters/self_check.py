"""Whether a counter tells what the power says: its lag, and its joules against integrated power.

Pure: the samples come from outside.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHECK_SECONDS = 5.0
"""Length of one check."""
MAX_LAG_SECONDS = 0.5
MAX_DEVIATION = 0.1
"""A counter that is further from the integrated power, as a fraction of it, is suspect."""
_LAG_STEP_SECONDS = 0.005
_MIN_CHANGES = 8
_MIN_POWER_VARIATION = 0.1
_MIN_CONTRAST = 2.0
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 10.0, 600.0
_SECONDS_PER_NANOSECOND = 1e-9
_JOULES_PER_MICROJOULE = 1e-6
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One look at counter and power together."""

    monotonic_nanoseconds: int
    microjoules: int
    """What the raw counter shows."""
    watts: float
    """Power of the board in that moment."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of one check."""

    lag_seconds: float | None = None
    """By how much the counter is behind the power; None where the power was too even to tell."""
    counter_over_power: float | None = None
    """Rise of the counter over the integral of the power; None where it hardly changed."""

    @property
    def suspect(self) -> str:
        """Why the counter is doubtful; "" if it is not."""
        ratio = self.counter_over_power
        if ratio is None or abs(ratio - 1) <= MAX_DEVIATION:
            return ""
        return f"the counter shows {ratio:.0%} of the integrated power".replace("%", " %")


def judge(points: Sequence[Point]) -> CheckResult:
    """Compares counter and power over some seconds.

    The lag is the shift for which the counter, where it changes, is closest to a multiple of the power's
    integral. It is known only if the power varied by 10 % and the best shift beats the worst one by far.
    """
    seconds, joules, watts = _columns(points)
    changes = np.flatnonzero(np.diff(joules)) + 1
    changes = changes[seconds[changes] >= MAX_LAG_SECONDS]
    if changes.size < _MIN_CHANGES or bool((np.diff(joules) < 0).any()) or watts.mean() <= 0:
        return CheckResult()
    steps = np.diff(seconds) * (watts[1:] + watts[:-1]) / 2
    integral = np.concatenate([[0.0], np.cumsum(steps)])
    lag = _lag(seconds, integral, joules, changes)
    varied = float(watts.std() / watts.mean()) >= _MIN_POWER_VARIATION
    lag_seconds = lag if varied else None
    ends = seconds[changes[[0, -1]]] - (lag_seconds or 0.0)
    power_joules = float(np.diff(np.interp(ends, seconds, integral))[0])
    rise = float(joules[changes[-1]] - joules[changes[0]])
    return CheckResult(lag_seconds, rise / power_joules if power_joules > 0 else None)


def _columns(points: Sequence[Point]) -> tuple[_Floats, _Floats, _Floats]:
    """Seconds and joules since the first point, and watts."""
    first = points[0]
    seconds = [
        (p.monotonic_nanoseconds - first.monotonic_nanoseconds) * _SECONDS_PER_NANOSECOND for p in points
    ]
    joules = [(p.microjoules - first.microjoules) * _JOULES_PER_MICROJOULE for p in points]
    return np.array(seconds), np.array(joules), np.array([p.watts for p in points])


def _lag(seconds: _Floats, integral: _Floats, joules: _Floats, changes: NDArray[np.intp]) -> float | None:
    """The shift with the smallest misfit; None where no inner one stands out."""
    shown = joules[changes] - joules[changes].mean()
    lags = np.arange(0.0, MAX_LAG_SECONDS, _LAG_STEP_SECONDS)
    misfits = []
    for lag in lags:
        expected = np.interp(seconds[changes] - lag, seconds, integral)
        expected -= expected.mean()
        scale = float(shown @ expected) / float(expected @ expected)
        misfits.append(float(np.square(shown - scale * expected).sum()))
    best = int(np.argmin(misfits))
    stands_out = max(misfits) > _MIN_CONTRAST**2 * misfits[best] and best < len(lags) - 1
    return float(lags[best]) if stands_out else None


class SelfCheck:
    """Checks at the start, and again with longer and longer pauses until the power has shown the lag."""

    def __init__(self) -> None:
        self.result = CheckResult()
        self._points: deque[Point] = deque()
        self._next_nanoseconds = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def wants(self, nanoseconds: int) -> bool:
        """Whether a point at this time would be used; false for good once the lag is known."""
        return self.result.lag_seconds is None and nanoseconds >= self._next_nanoseconds

    def add(self, point: Point) -> bool:
        """Takes a point; returns whether it completed a check, whose result then stands in `result`."""
        self._points.append(point)
        seconds = (
            point.monotonic_nanoseconds - self._points[0].monotonic_nanoseconds
        ) * _SECONDS_PER_NANOSECOND
        if seconds < CHECK_SECONDS:
            return False
        self.result = judge(self._points)
        self.abandon(point.monotonic_nanoseconds)
        return True

    def abandon(self, nanoseconds: int) -> None:
        """Forgets the points and pauses: a check is complete, or the device could not be read."""
        self._points.clear()
        self._next_nanoseconds = nanoseconds + round(self._pause_seconds / _SECONDS_PER_NANOSECOND)
        self._pause_seconds = min(2 * self._pause_seconds, _MAX_PAUSE_SECONDS)
