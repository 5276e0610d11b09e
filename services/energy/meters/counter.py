"""From samples of a raw counter to readings: one per change, and none that cannot be believed.

Pure: the times and values come from outside.
"""

from collections import Counter
from enum import StrEnum

from services.core.energy_ledger import Reading

STALL_SECONDS = 2.0
"""A counter that stands still for so long has stopped: every board in use draws power all the time."""
ASSUMED_LIMIT_WATTS = 2000.0
"""Power limit of a device that tells none; above that of any single device."""
MAX_LIMIT_MULTIPLE = 1.5
_NANOSECONDS_PER_SECOND = 1_000_000_000
_MICROJOULES_PER_WATT_NANOSECOND = 1e-3


class Fault(StrEnum):
    """Why the energy of a window is unknown."""

    RESET = "reset"
    """The counter went backwards."""
    IMPLAUSIBLE = "implausible"
    """It rose by more than 1.5 x power limit x time."""
    STOPPED = "stopped"
    """It stood still."""
    UNREADABLE = "unreadable"
    """The device or driver answered with an error."""
    MISSED = "missed"
    """It was not looked at for so long that it may have wrapped more than once."""


class CounterWatch:
    """Follows one counter.

    Its first value is as old as the last update, so counting begins with the first change. A window that
    cannot be trusted gives a reading that follows a gap: neither 0 J nor a clamped value.

    Args:
        power_limit_watts: of the device, W > 0; None where it is not known.
        wraps_at_microjoules: the counter begins again at 0 above this; None where it never does.

    """

    def __init__(self, power_limit_watts: float | None, wraps_at_microjoules: int | None = None) -> None:
        self.power_limit_watts = power_limit_watts
        self.stopped = False
        """Whether the counter has stood still for longer than any counter does."""
        self.faults: Counter[Fault] = Counter()
        self._wraps_at = wraps_at_microjoules
        self._total_microjoules = 0
        self._shown: int | None = None
        self._changed_nanoseconds = self._polled_nanoseconds = 0
        self._set_after_nanoseconds: int | None = None
        self._changes = self._changing_nanoseconds = 0

    @property
    def update_period_seconds(self) -> float | None:
        """Mean time between two changes, s; not below the time between two samples. None before two."""
        if not self._changes:
            return None
        return self._changing_nanoseconds / self._changes / _NANOSECONDS_PER_SECOND

    @property
    def longest_pause_seconds(self) -> float:
        """Time between two samples above which a wrap may be missed: half the time of the fastest wrap."""
        return float("inf") if self._wraps_at is None else self._wraps_at * 1e-6 / self._max_watts() / 2

    def lose(self, fault: Fault) -> None:
        """The counter could not be read: what it shows next continues nothing."""
        if self._set_after_nanoseconds is not None:
            self.faults[fault] += 1
        self._shown = self._set_after_nanoseconds = None

    def take(self, nanoseconds: int, shown_microjoules: int) -> Reading | None:
        """Takes what the counter shows at a monotonic time; returns a reading where it has changed."""
        polled_before, self._polled_nanoseconds = self._polled_nanoseconds, nanoseconds
        if self._shown is None:
            self._shown, self._changed_nanoseconds = shown_microjoules, nanoseconds
            return None
        if shown_microjoules == self._shown:
            self._heed_standstill(nanoseconds)
            return None
        is_trusted = self._count(nanoseconds, shown_microjoules)
        self._shown, self._changed_nanoseconds = shown_microjoules, nanoseconds
        self._set_after_nanoseconds, self.stopped = polled_before, False
        return Reading(nanoseconds, self._total_microjoules, follows_gap=not is_trusted)

    def _count(self, nanoseconds: int, shown: int) -> bool:
        """Adds a rise to the total if it can be trusted, and says whether it can."""
        if self._set_after_nanoseconds is None:
            return False
        fell = shown < (self._shown or 0)
        rise = shown - (self._shown or 0) + (self._wraps_at or 0) * fell
        # The last value was set somewhere between two samples: this is the longest it can have stood.
        fault = self._fault(rise, fell, nanoseconds - self._set_after_nanoseconds)
        if fault is not None:
            self.faults[fault] += 1
            return False
        self._total_microjoules += rise
        self._changes += 1
        self._changing_nanoseconds += nanoseconds - self._changed_nanoseconds
        return True

    def _fault(self, rise: int, fell: bool, longest_nanoseconds: int) -> Fault | None:
        if longest_nanoseconds > self.longest_pause_seconds * _NANOSECONDS_PER_SECOND:
            return Fault.MISSED
        if 0 <= rise <= self._max_watts() * longest_nanoseconds * _MICROJOULES_PER_WATT_NANOSECOND:
            return None
        return Fault.RESET if fell else Fault.IMPLAUSIBLE

    def _heed_standstill(self, nanoseconds: int) -> None:
        still = nanoseconds - self._changed_nanoseconds
        if not self.stopped and still > STALL_SECONDS * _NANOSECONDS_PER_SECOND:
            self.stopped = True
            self.faults[Fault.STOPPED] += 1
            self._set_after_nanoseconds = None

    def _max_watts(self) -> float:
        return MAX_LIMIT_MULTIPLE * (self.power_limit_watts or ASSUMED_LIMIT_WATTS)
