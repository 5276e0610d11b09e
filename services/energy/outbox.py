"""Events on their way into the log: they wait here while the log is away."""

import asyncio
import logging
from collections import deque

from services.core.events import EnergyAttributed
from services.energy.ports import EnergyLog

_MAX_BATCH = 512
_log = logging.getLogger(__name__)


class Outbox:
    """A bounded buffer in front of the log; when full, the oldest event is dropped, counted and logged.

    A dropped event loses the figure of one generation in the log, never the balance of a meter. What waits
    here is lost if the process dies. An append whose reply was lost is repeated, so the log may hold an
    event twice: the first one counts.
    """

    def __init__(self, log: EnergyLog, capacity: int) -> None:
        self.dropped = 0
        self._target, self._capacity = log, capacity
        self._waiting: deque[EnergyAttributed] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """Events that are not yet in the log."""
        return len(self._waiting)

    def put(self, event: EnergyAttributed) -> None:
        """Queues an event; never waits."""
        self._waiting.append(event)
        self._filled.set()
        if len(self._waiting) > self._capacity:
            lost = self._waiting.popleft()
            self.dropped += 1
            _log.error(
                "dropped the energy event of generation %s: %d events wait for the log, %d dropped so far",
                lost.generation_id,
                self._capacity,
                self.dropped,
            )

    async def flush(self) -> None:
        """Waits for events and appends everything that waits, batch by batch.

        Raises:
            StateUnavailableError: the log is away; what waits stays.

        """
        await self._filled.wait()
        self._filled.clear()
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
                await self._append(batch)
        finally:
            if self._waiting:
                self._filled.set()

    async def _append(self, batch: list[EnergyAttributed]) -> None:
        try:
            await self._target.append(batch)
        except BaseException:
            # Whatever ended the attempt, cancellation included, the batch goes back to the front.
            self._waiting.extendleft(reversed(batch))
            raise
