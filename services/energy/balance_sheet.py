"""The meters' balances for a thread that exports them: each look at them adds up.

Balances change on the event loop, while metrics are collected elsewhere, instrument by instrument. Read
live, energy could be counted between two instruments, and attributed + unattributed would not be measured.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.core.energy_ledger import Balance
from services.energy.metering import MeterStatus

REFRESH_SECONDS = 0.5
"""How old a look may be before the event loop takes another."""
_NANOSECONDS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """All meters at one moment, with balances of their own."""

    monotonic_nanoseconds: int = 0
    statuses: Sequence[MeterStatus] = ()


class BalanceSheet:
    """Looks taken on the event loop; every asker of one collection gets the same."""

    def __init__(self, meters: Callable[[], Sequence[MeterStatus]]) -> None:
        self._meters = meters
        self._latest = self._collected = Look()
        self._askers: set[str] = set()

    def take(self, now_nanoseconds: int) -> None:
        """Takes a look. Only where the balances are changed, so that none is half changed."""
        self._latest = Look(now_nanoseconds, [_frozen(status) for status in self._meters()])

    def keep_fresh(self, now_nanoseconds: int) -> None:
        """Takes a look unless there is a fresh one."""
        if now_nanoseconds - self._latest.monotonic_nanoseconds >= REFRESH_SECONDS * _NANOSECONDS_PER_SECOND:
            self.take(now_nanoseconds)

    def look(self, asker: str) -> Look:
        """The look of this collection: the newest one for the first asker, and for one that asks again."""
        if not self._askers or asker in self._askers:
            self._askers.clear()
            self._collected = self._latest
        self._askers.add(asker)
        return self._collected


def _frozen(status: MeterStatus) -> MeterStatus:
    live = status.balance
    unattributed = Counter(live.unattributed_microjoules)
    balance = Balance(live.measured_microjoules, live.attributed_microjoules, unattributed)
    return replace(status, balance=balance)
