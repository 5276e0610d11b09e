"""Client-supplied request ids: the first call does the work, every repeat gets its result."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from services.common.outages import OutageLog
from services.core.errors import StateUnavailableError
from services.router.ports import Claims
from services.router.requests import Record

_log = logging.getLogger(__name__)
_POLL_SECONDS = (0.005, 0.2)
LEASE_SECONDS = 12
"""So long a claim outlives the router that it runs on; until then it is renewed, every third of this time."""


class Claiming:
    """Claims over all replicas, with the running ones of this replica at hand.

    While the store is away, an id is unique within this replica only; the log still counts it once.
    A claim whose router is gone frees its id soon, so that the client's next try is answered.

    Args:
        claims: the shared store.
        wait_seconds: how long a repeat waits for the first call to finish.
        clock: monotonic seconds.
        renew_seconds: between two renewals of what runs.

    """

    def __init__(
        self,
        claims: Claims,
        wait_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        renew_seconds: float = LEASE_SECONDS / 3,
    ) -> None:
        self._claims, self._wait_seconds, self._clock = claims, wait_seconds, clock
        self._renew_seconds = renew_seconds
        self._running: dict[str, Record] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._outage = OutageLog(_log, "the store of claims", "repeats of requests may find no result")

    async def claim(self, request_id: str, record: Record) -> Record | None:
        """None if the id is ours: `record` then tells repeats how far it is. Else the first call's record."""
        if request_id in self._running:
            return self._running[request_id]
        self._running[request_id] = record
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="renewing claims")
        try:
            first = await self._claims.claim(request_id, record.kind)
        except StateUnavailableError:
            return None
        except BaseException:
            self._running.pop(request_id, None)
            raise
        if first is not None:
            self._running.pop(request_id, None)
        return first

    async def _renew(self) -> None:
        """Until nothing runs."""
        try:
            while self._running:
                await asyncio.sleep(self._renew_seconds)
                if running := list(self._running):
                    await self._keep(self._claims.renew(running))
        finally:
            self._renewing = None

    async def _keep(self, change: Awaitable[None]) -> None:
        """Changes the store; without it, later repeats find nothing."""
        try:
            await change
        except StateUnavailableError as error:
            self._outage.failed(error)
        else:
            self._outage.worked()

    async def decided(self, request_id: str, first: Record) -> Record:
        """The first call's record once it has a decision or failed, or as it is when the time is over."""
        return await self._wait(
            request_id, first, lambda record: record.started is not None or record.complete
        )

    async def completed(self, request_id: str, first: Record) -> Record:
        """The first call's record once nothing more happens to it, or as it is when the time is over."""
        return await self._wait(request_id, first, lambda record: record.complete)

    async def _wait(self, request_id: str, first: Record, enough: Callable[[Record], bool]) -> Record:
        deadline, (pause, longest) = self._clock() + self._wait_seconds, _POLL_SECONDS
        record: Record | None = first
        while record is not None and not enough(record) and self._clock() < deadline:
            await asyncio.sleep(pause)
            pause = min(longest, 2 * pause)
            record = self._running.get(request_id) or await self._claims.read(request_id)
        return record or first

    async def finish(self, request_id: str, record: Record) -> None:
        """Keeps the result for repeats."""
        try:
            await self._keep(self._claims.record(request_id, record))
        finally:
            self._running.pop(request_id, None)

    async def release(self, request_id: str) -> None:
        """Frees an id: nothing was decided under it."""
        self._running.pop(request_id, None)
        await self._keep(self._claims.release(request_id))
