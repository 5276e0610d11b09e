"""The log in Redis: a stream, and the function that appends to it."""

from collections.abc import Awaitable, Sequence
from typing import Any, cast

import redis.asyncio as aioredis

from services.common.event_codec import decode_entry, encode_event
from services.common.keys import Keys
from services.common.log_span import append_span
from services.common.redis_client import call_function, or_unavailable
from services.core.events import Decision, Event, Outcome, Redecision
from services.router.ports import ClassState, Committed, LogEntry

MAX_FAILURES = 64
"""As many as are shown of one request: each worker is tried once."""


class RedisEventLog:
    """`EventLog` over the function `messplus_commit`.

    Args:
        client: the connection.
        keys: of the zoo.
        writer_id: unique to this process, also across restarts: batch numbers begin at 1.
        decided_ttl_seconds: how long a decision can be explained.

    """

    def __init__(self, client: aioredis.Redis, keys: Keys, writer_id: str, decided_ttl_seconds: int) -> None:
        self._client, self._keys = client, keys
        self._batch_key, self._ttl = keys.batch(writer_id), decided_ttl_seconds

    async def commit(
        self, batch: int, entries: Sequence[LogEntry], expected_step: int | None = None
    ) -> list[Committed] | None:
        """See `EventLog`."""
        classes: dict[str, int] = {}
        values: list[Any] = []
        for event, sla_class, debt_change, once in entries:
            kind, data = encode_event(event)
            number = classes.setdefault(sla_class, len(classes) + 1)
            values += ("decision_once" if once else kind, number, repr(debt_change), data)
        keys = [self._keys.events, self._batch_key]
        keys += map(self._keys.sla_class, classes)
        keys += [self._own_key(entry) for entry in entries]
        step = "" if expected_step is None else expected_step
        head: list[Any] = [self._ttl, len(classes), batch, step]
        with append_span(self._keys.events, [entry.event.traceparent for entry in entries]):
            reply = await or_unavailable(call_function(self._client, "messplus_commit", keys, head + values))
        if reply is None:
            return None
        return [Committed(position.decode(), step, float(debt)) for position, step, debt in reply]

    async def append(self, fields: Sequence[tuple[str, bytes]]) -> list[str]:
        """See `EventLog`."""
        pipeline = self._client.pipeline(transaction=True)
        for kind, data in fields:
            pipeline.xadd(self._keys.events, {"type": kind, "data": data})
        return [position.decode() for position in await or_unavailable(pipeline.execute())]

    async def class_state(self, sla_class: str) -> ClassState:
        """See `EventLog`."""
        call = self._client.hmget(self._keys.sla_class(sla_class), ["step", "debt"])
        step, debt = await or_unavailable(cast(Awaitable[list[bytes | None]], call))
        return ClassState(int(step or 0), float(debt or 0.0))

    async def decision(self, request_id: str) -> Decision | None:
        """See `EventLog`."""
        position = await or_unavailable(
            cast(Awaitable[bytes | None], self._client.get(self._keys.decided(request_id)))
        )
        if position is None:
            return None
        event = await self._event(position)
        return event if isinstance(event, Decision) else None

    async def failures(self, request_id: str) -> list[Redecision | Outcome]:
        """See `EventLog`."""
        positions = await or_unavailable(
            cast(
                Awaitable[list[bytes]],
                self._client.lrange(self._keys.failures(request_id), 0, MAX_FAILURES - 1),
            )
        )
        events = [await self._event(position) for position in positions]
        return [event for event in events if isinstance(event, Redecision | Outcome)]

    async def _event(self, position: bytes) -> Event | None:
        """What stands there; None where it was trimmed."""
        entries = await or_unavailable(
            cast(
                Awaitable[list[tuple[bytes, dict[bytes, bytes]]]],
                self._client.xrange(self._keys.events, position, position),
            )
        )
        return decode_entry(*entries[0]).event if entries else None

    def _own_key(self, entry: LogEntry) -> str:
        event = entry.event
        failed = isinstance(event, Redecision) or (isinstance(event, Outcome) and event.error)
        return self._keys.failures(event.request_id) if failed else self._keys.decided(event.request_id)
