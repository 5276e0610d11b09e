"""When a counter was updated, though it is only looked at every so often.

Updates come at a steady period, looks see them some time after. A line through many looks tells the update
times but for a constant, which is part of the lag. A window of 50 ms that is polled every 20 ms otherwise
seems to last 40 or 60 ms.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

__all__ = ["UpdateClock"]

_READINGS = 256
_REFIT_READINGS = 64
_MOST_SPREAD = 0.2
"""Standard deviation of looks around the line, in periods, above which the updates are not steady."""
_FARTHEST = 0.8
"""Distance of a look from its update, in periods, at which the line no longer holds."""


@dataclass(slots=True)
class UpdateClock:
    """Learns a counter's period from the times at which changes were seen."""

    period_nanoseconds: float = 0.0
    """0: not steady, or not known yet."""
    _origin: int = 0
    _offset: float = 0.0
    _seen: deque[int] = field(default_factory=lambda: deque(maxlen=_READINGS))
    _since_fit: int = 0

    def refine(self, seen_nanoseconds: int) -> int:
        """The steady time of the update that was first seen then, ns; while none is known, that time."""
        if self._seen and seen_nanoseconds <= self._seen[-1]:
            self._forget()
        self._seen.append(seen_nanoseconds)
        self._since_fit += 1
        if self._since_fit >= _REFIT_READINGS and len(self._seen) == _READINGS:
            self._fit()
        if not self.period_nanoseconds:
            return seen_nanoseconds
        elapsed = seen_nanoseconds - self._origin - self._offset
        steady = round(elapsed / self.period_nanoseconds) * self.period_nanoseconds
        if abs(elapsed - steady) > _FARTHEST / 2 * self.period_nanoseconds:
            self._forget()
            return seen_nanoseconds
        return self._origin + round(self._offset + steady)

    def _forget(self) -> None:
        self._seen.clear()
        self.period_nanoseconds, self._since_fit = 0.0, 0

    def _fit(self) -> None:
        """A line through the looks, numbered by the updates that they saw."""
        self._since_fit, self._origin = 0, self._seen[0]
        times = np.array([seen - self._origin for seen in self._seen], dtype=float)
        period, offset, spread = times[-1] / (len(times) - 1), 0.0, np.inf
        for _ in range(3):
            numbers = np.round((times - offset) / period)
            if numbers[-1] < 1:
                break
            deviations = numbers - numbers.mean()
            period = float(deviations @ times / (deviations @ deviations))
            offset = float(times.mean() - period * numbers.mean())
            spread = float(np.std(times - offset - numbers * period))
        steady = spread <= _MOST_SPREAD * period
        self.period_nanoseconds, self._offset = (period, offset) if steady else (0.0, 0.0)
