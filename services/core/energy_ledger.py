"""The books of one meter: windows between its readings, the steps meanwhile, and where each joule went.

A window stays open until every step that overlaps it is known, then it is attributed once and for all.
At any moment `attributed + unattributed == measured`, in whole microjoules.
"""

from collections import Counter, deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.core.attribution import Attribution, UnattributedReason, Window, attribute
from services.core.energy_estimate import estimate_gap
from services.core.steps import Step

__all__ = ["Balance", "EnergyLedger", "Reading"]

_MAX_UNCLAIMED_WINDOWS = 256
_MOST_WINDOWS_AT_ONCE = 16
"""Their shares are a table of windows by generations: a backlog must not become a large one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a counter showed: monotonic nanoseconds and cumulative microjoules, both >= 0."""

    monotonic_nanoseconds: int
    cumulative_microjoules: int
    follows_gap: bool = False
    """True: what the counter rose by since the last reading is unknown; counting goes on from here."""


@dataclass(slots=True)
class Balance:
    """Microjoules of the closed windows: `attributed` plus all `unattributed` is `measured`."""

    measured_microjoules: int = 0
    attributed_microjoules: int = 0
    unattributed_microjoules: Counter[UnattributedReason] = field(default_factory=Counter)


@dataclass(slots=True)
class _Gap:
    """A time in which the counter was reset or away: its energy is unknown, which is not 0."""

    start_nanoseconds: int
    end_nanoseconds: int


class EnergyLedger:
    """Turns readings and steps into attributed windows.

    Args:
        idle_watts: P_idle, what the meter shows while nobody is served, W.
        final: ids of generations whose figure was published; what they still cause is late.
        max_open_windows: windows that may wait for their steps; one more closes the oldest, and steps
            that arrive for it afterwards are late.

    """

    def __init__(self, idle_watts: float, final: AbstractSet[str], max_open_windows: int) -> None:
        self.balance = Balance()
        self.read_microjoules = 0
        """All that was read, open windows included."""
        self.closed_until_nanoseconds = 0
        """Everything before this is settled."""
        self.idle_watts, self._final, self._max_open_windows = idle_watts, final, max_open_windows
        self._began_nanoseconds: int | None = None
        self._last_nanoseconds = 0
        self._last_microjoules: int | None = None
        self._open: deque[Window | _Gap] = deque()
        self._steps: list[Step] = []
        self._unclaimed: deque[tuple[Window, int]] = deque(maxlen=_MAX_UNCLAIMED_WINDOWS)

    def read(self, reading: Reading) -> None:
        """Opens the window that ends at this reading; the first reading only sets where counting begins.

        A counter that went backwards was reset, and its window is unknown. A reading that is not newer
        than the last one is left to the next.
        """
        if reading.follows_gap:
            self._last_microjoules = None
        self._advance(reading.monotonic_nanoseconds, reading.cumulative_microjoules)

    def lose(self, monotonic_nanoseconds: int) -> None:
        """The counter could not be read: everything from the last reading to the next is unknown."""
        self._advance(monotonic_nanoseconds, None)

    def restart_if_behind(self, monotonic_nanoseconds: int) -> None:
        """Begins anew, with the same balance, if the clock did: a time before the last reading's.

        Raises ValueError while windows are open; settle them first.
        """
        if monotonic_nanoseconds >= self._last_nanoseconds:
            return
        if self._open:
            raise ValueError(f"{len(self._open)} windows are open")
        self._began_nanoseconds = self._last_microjoules = None
        self._last_nanoseconds = self.closed_until_nanoseconds = 0
        self._steps.clear()
        self._unclaimed.clear()

    def add_step(self, step: Step) -> bool:
        """Takes a step; returns whether it was late: part of it lies in windows that have closed."""
        began = self.closed_until_nanoseconds if self._began_nanoseconds is None else self._began_nanoseconds
        late = max(step.start_nanoseconds, began) < self.closed_until_nanoseconds
        if late:
            self.claim_late(step)
        if self._began_nanoseconds is None or step.end_nanoseconds > self.closed_until_nanoseconds:
            self._steps.append(step)
        return late

    def claim_late(self, step: Step) -> None:
        """A step that must not be charged: what no other step explained of its windows is late."""
        reasons = self.balance.unattributed_microjoules
        for item in list(self._unclaimed):
            window, microjoules = item
            begins_before_its_end = step.start_nanoseconds < window.end_nanoseconds
            if begins_before_its_end and step.end_nanoseconds > window.start_nanoseconds:
                self._unclaimed.remove(item)
                reasons[UnattributedReason.UNKNOWN] -= microjoules
                reasons[UnattributedReason.LATE] += microjoules

    def book_overhead(self, microjoules: int) -> None:
        """Books energy read outside any window, such as what loading took before the first report."""
        self.read_microjoules += microjoules
        self.balance.measured_microjoules += microjoules
        self.balance.unattributed_microjoules[UnattributedReason.OVERHEAD] += microjoules

    def settle(self, complete_until_nanoseconds: float) -> list[Attribution]:
        """Closes the windows up to a time before which no further step can begin, and attributes them.

        Without a counter this is an estimate, which no balance contains.
        """
        attributions: list[Attribution] = []
        while self._open:
            oldest = self._open[0]
            if isinstance(oldest, Window):
                if not (windows := self._closable(complete_until_nanoseconds)):
                    break
                attributions.append(self._close_windows(windows))
            elif complete_until_nanoseconds <= oldest.start_nanoseconds:
                break
            else:
                attributions.append(self._close_gap(oldest, complete_until_nanoseconds))
        self._steps = [s for s in self._steps if s.end_nanoseconds > self.closed_until_nanoseconds]
        return attributions

    def _closable(self, complete_until_nanoseconds: float) -> list[Window]:
        """The oldest windows, up to a gap, whose steps are all known or that are too many; some at a time."""
        windows: list[Window] = []
        for each in self._open:
            if isinstance(each, _Gap) or len(windows) == _MOST_WINDOWS_AT_ONCE:
                break
            is_one_too_many = len(self._open) - len(windows) > self._max_open_windows
            if each.end_nanoseconds > complete_until_nanoseconds and not is_one_too_many:
                break
            windows.append(each)
        return windows

    def _close_windows(self, windows: Sequence[Window]) -> Attribution:
        for _ in windows:
            self._open.popleft()
        attribution = attribute(windows, self._steps, self.idle_watts)
        self._book(attribution)
        self.closed_until_nanoseconds = windows[-1].end_nanoseconds
        return attribution

    def _close_gap(self, gap: _Gap, until_nanoseconds: float) -> Attribution:
        # A gap has no energy to wait for, so it closes as far as the steps are known.
        start, end = gap.start_nanoseconds, int(min(gap.end_nanoseconds, until_nanoseconds))
        gap.start_nanoseconds = self.closed_until_nanoseconds = end
        if end == gap.end_nanoseconds:
            self._open.popleft()
        return estimate_gap(start, end, self._steps, self.idle_watts)

    def _advance(self, nanoseconds: int, microjoules: int | None) -> None:
        if self._began_nanoseconds is None:
            self._began_nanoseconds = self.closed_until_nanoseconds = nanoseconds
            self._last_nanoseconds, self._last_microjoules = nanoseconds, microjoules
            return
        if nanoseconds <= self._last_nanoseconds:
            return
        rise = -1 if microjoules is None else microjoules - (self._last_microjoules or 0)
        if self._last_microjoules is not None and rise >= 0:
            self.read_microjoules += rise
            self._open.append(Window(self._last_nanoseconds, nanoseconds, rise))
        else:
            self._append_gap(nanoseconds)
        self._last_nanoseconds, self._last_microjoules = nanoseconds, microjoules

    def _append_gap(self, end_nanoseconds: int) -> None:
        if self._open and isinstance(self._open[-1], _Gap):
            self._open[-1].end_nanoseconds = end_nanoseconds
        else:
            self._open.append(_Gap(self._last_nanoseconds, end_nanoseconds))

    def _book(self, attribution: Attribution) -> None:
        balance, reasons = self.balance, self.balance.unattributed_microjoules
        measured = sum(window.energy_microjoules for window in attribution.windows)
        balance.measured_microjoules += measured
        for window, unattributed in zip(attribution.windows, attribution.reasons, strict=True):
            reasons.update(unattributed)
            if unknown := unattributed.get(UnattributedReason.UNKNOWN, 0):
                self._unclaimed.append((window, unknown))
        ids = attribution.generation_ids
        final = [place for place, generation_id in enumerate(ids) if generation_id in self._final]
        late = int(attribution.microjoules[:, final].sum())
        if late:
            reasons[UnattributedReason.LATE] += late
        balance.attributed_microjoules += int(attribution.microjoules.sum()) - late
