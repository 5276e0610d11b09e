"""Brings the router's events into the log: batched, in order, each exactly once, also across an outage.

One batch is under way at a time and has a number; when its reply is lost it is sent again under the same
number, and the log executes a number only once. Whoever submits need not wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from services.common.outages import OutageLog
from services.core.errors import OverloadedError, StateUnavailableError
from services.core.events import Decision
from services.router.class_states import ClassStates
from services.router.instruments import Instruments
from services.router.ports import Committed, EventLog, LogEntry

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.25
_MAX_BATCH = 512


class Commits:
    """The way into the log.

    Args:
        log: the log.
        classes: step and debt per class, kept up to date from the log's replies.
        instruments: metrics.
        max_buffered: entries kept while the log is away; further decisions are refused.
        linger_seconds: least time between two batches. More of it makes batches longer and each decision
            cheaper; a router that crashes loses what it decided within this time and one round trip.

    """

    def __init__(
        self,
        log: EventLog,
        classes: ClassStates,
        instruments: Instruments,
        max_buffered: int,
        linger_seconds: float = 0.008,
    ) -> None:
        self._log, self._classes, self._instruments = log, classes, instruments
        self._max_buffered, self._linger_seconds = max_buffered, linger_seconds
        self._waiting: deque[LogEntry] = deque()
        self._batch = 0
        self._current: list[LogEntry] = []
        self._flushing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._outage = OutageLog(_log, "the event log", "going on with the last known state")
        self.degraded = False

    def __len__(self) -> int:
        """Entries that are not in the log yet."""
        return len(self._waiting) + len(self._current)

    def require_room(self) -> None:
        """Raises OverloadedError where one more decision would not fit."""
        if len(self) >= self._max_buffered:
            raise OverloadedError("the buffer of decisions that wait for the log", 1.0)

    def submit(self, entry: LogEntry) -> None:
        """Appends an entry soon, after everything submitted before. Never waits."""
        self._waiting.append(entry)
        self._expect(entry)
        self._start()

    async def submit_at(self, entry: LogEntry, expected_step: int) -> Committed | None:
        """Appends a decision at once, if its class still is at `expected_step`; else returns None.

        Raises StateUnavailableError when the log is away; the entry then is submitted like any other.
        """
        async with self._turn:
            if self._current:
                raise StateUnavailableError("the log is away and earlier events wait for it")
            try:
                replies = await self._log.commit(self._batch + 1, [entry], expected_step)
            except (StateUnavailableError, asyncio.CancelledError):
                # Executed or not, nobody knows: sent again under its number, it is there once.
                self._current = [entry]
                self._expect(entry)
                self._start()
                raise
            if not replies:
                return None
            self._batch += 1
        self._classes.committed(entry.sla_class, replies[0].step, replies[0].debt)
        self._instruments.committed([entry.event])
        return replies[0]

    async def flushed(self) -> None:
        """Returns once all that was submitted so far is in the log, or the log is found to be away."""
        flushing = self._flushing
        while flushing is not None and not flushing.done() and not self.degraded:
            await asyncio.wait([flushing], timeout=0.05)

    async def close(self, timeout_seconds: float) -> None:
        """Waits until everything is in the log; after the time, says how much is lost."""
        flushing = self._flushing
        if flushing is not None:
            await asyncio.wait([flushing], timeout=timeout_seconds)
            flushing.cancel()
        if len(self):
            _log.error("the log was away until the end: %d events are lost", len(self))

    def _expect(self, entry: LogEntry) -> None:
        if isinstance(entry.event, Decision):
            self._classes.decided(entry.sla_class, entry.debt_change)
        else:
            self._classes.charged(entry.sla_class, entry.debt_change)

    def _start(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        while len(self):
            async with self._turn:
                sent = await self._send()
            if not sent:
                await asyncio.sleep(_RETRY_SECONDS)
            elif len(self._waiting) < _MAX_BATCH:
                await asyncio.sleep(self._linger_seconds)
        self._flushing = None

    async def _send(self) -> bool:
        # What a number stands for must not change between two attempts: what comes later waits.
        if not self._current:
            self._current = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
        try:
            replies = await self._log.commit(self._batch + 1, self._current)
        except Exception as error:
            # Dropping a batch would break the promise that every decision is in the log: whatever the error,
            # it waits and is sent again.
            self._degrade(error)
            return False
        self._settle(replies or [])
        return True

    def _settle(self, replies: Sequence[Committed]) -> None:
        for entry, reply in zip(self._current, replies, strict=True):
            decided = isinstance(entry.event, Decision)
            self._classes.settled(entry.sla_class, decided, entry.debt_change, reply.step, reply.debt)
        self._instruments.committed([entry.event for entry in self._current])
        self._batch, self._current = self._batch + 1, []
        if self.degraded:
            self.degraded = False
            self._instruments.degraded(False)
            self._outage.worked()

    def _degrade(self, error: Exception) -> None:
        self._outage.failed(error)
        if not self.degraded:
            self.degraded = True
            self._instruments.degraded(True)
