"""Appends labels to the log; labels that come together share one round trip.

One append is on its way at a time. What arrives meanwhile, and shortly after, leaves with the next, which
keeps the order and makes batches as large as the load asks for; a label that comes alone never waits.
"""

import asyncio

import redis.asyncio as aioredis

from services.common.event_codec import encode_event
from services.common.keys import Keys
from services.common.log_span import append_span
from services.common.redis_client import call_function, or_unavailable
from services.core.errors import OverloadedError
from services.core.events import Label

MAX_WAITING_LABELS = 20_000
MAX_BATCH_LABELS = 512
_RETRY_SECONDS = 1.0
_LINGER_SECONDS = 0.003

Waiting = tuple[bytes, str, "asyncio.Future[str]"]
"""Data, trace context, and where its position goes."""


class RedisLabelLog:
    """Labels into one zoo's stream."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._events = client, keys.events
        self._waiting: list[Waiting] = []
        self._sender: asyncio.Task[None] | None = None

    def append(self, label: Label) -> "asyncio.Future[str]":
        """See `ports.LabelLog`."""
        if len(self._waiting) >= MAX_WAITING_LABELS:
            raise OverloadedError("queue of labels", _RETRY_SECONDS)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        self._waiting.append((encode_event(label)[1], label.traceparent, done))
        if self._sender is None:
            self._sender = loop.create_task(self._send_all(), name="append labels")
        return done

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MAX_BATCH_LABELS]
                del self._waiting[: len(batch)]
                await self._send(batch)
                if 0 < len(self._waiting) < MAX_BATCH_LABELS:
                    # A round trip costs this process as much as some thirty labels in it.
                    await asyncio.sleep(_LINGER_SECONDS)
        finally:
            self._sender = None

    async def _send(self, batch: list[Waiting]) -> None:
        try:
            arguments = ["label", *(data for data, _, _ in batch)]
            with append_span(self._events, [traceparent for _, traceparent, _ in batch]):
                call = call_function(self._client, "messplus_append", [self._events], arguments)
                positions: list[bytes] = await or_unavailable(call)
        except Exception as error:
            # Whatever went wrong is for those who wait to hear, not for this background task.
            for _, _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for (_, _, done), position in zip(batch, positions, strict=True):
            if not done.done():
                done.set_result(position.decode())
