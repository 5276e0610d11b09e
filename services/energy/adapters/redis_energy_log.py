"""Energy events in the zoo's Redis Stream."""

import logging
from collections.abc import Awaitable, Sequence
from typing import cast

import redis.asyncio as aioredis

from services.common.event_codec import decode_entry, encode_event
from services.common.keys import Keys
from services.common.log_span import append_span
from services.common.redis_client import or_unavailable
from services.core.events import EnergyAttributed

_PAGE_ENTRIES = 1000
_log = logging.getLogger(__name__)


class RedisEnergyLog:
    """Appends to and reads back from the stream `messplus:{zoo}:events`."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def append(self, events: Sequence[EnergyAttributed]) -> None:
        """Appends all events in one transaction: one round trip, all or nothing."""
        pipeline = self._client.pipeline(transaction=True)
        for event in events:
            kind, data = encode_event(event)
            pipeline.xadd(self._keys.events, {"type": kind, "data": data})
        with append_span(self._keys.events, [event.traceparent for event in events]):
            await or_unavailable(pipeline.execute())

    async def tail(self, limit: int) -> list[EnergyAttributed]:
        """Reads backwards, page by page, at most ten entries of any kind per wanted event."""
        found: list[EnergyAttributed] = []
        before = "+"
        for _ in range(max(1, 10 * limit // _PAGE_ENTRIES)):
            reply = self._client.xrevrange(self._keys.events, max=before, count=_PAGE_ENTRIES)
            page = await or_unavailable(cast(Awaitable[list[tuple[bytes, dict[bytes, bytes]]]], reply))
            found += [event for entry_id, fields in page if (event := _energy(entry_id, fields))]
            if len(page) < _PAGE_ENTRIES or len(found) >= limit:
                break
            before = f"({page[-1][0].decode()}"
        return found[:limit][::-1]


def _energy(entry_id: bytes, fields: dict[bytes, bytes]) -> EnergyAttributed | None:
    if fields.get(b"type") != b"energy":
        return None
    try:
        event = decode_entry(entry_id, fields).event
    except ValueError as error:
        _log.warning("skipped: %s", error)
        return None
    return event if isinstance(event, EnergyAttributed) else None
