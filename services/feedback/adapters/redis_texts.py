"""Texts that wait for a labeler, and which generation a client saw, as routers left them in Redis."""

from collections.abc import Awaitable, Collection
from typing import cast

import redis.asyncio as aioredis

from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.redis_client import or_unavailable
from services.core.events import Decision, Redecision
from services.feedback.ports import StoredText

_ANSWER = b"answer:"
_MAX_ENTRIES_AFTER_DECISION = 1000
_FORGOTTEN_SECONDS = 60
RawEntries = list[tuple[bytes, dict[bytes, bytes]]]


class RedisTextStore:
    """The hashes `Keys.text`, and in them the number of answers that were `judged`."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def load(self, request_id: str) -> StoredText | None:
        """See `ports.TextStore`."""
        call = cast(Awaitable[dict[bytes, bytes]], self._client.hgetall(self._keys.text(request_id)))
        fields = await or_unavailable(call)
        if not fields:
            return None
        answers = {
            name.removeprefix(_ANSWER).decode(): answer.decode(errors="replace")
            for name, answer in fields.items()
            if name.startswith(_ANSWER)
        }
        prompt = fields.get(b"prompt", b"").decode(errors="replace")
        return StoredText(prompt, fields.get(b"labeling", b""), answers)

    async def forget(self, request_id: str, generation_id: str) -> None:
        """See `ports.TextStore`."""
        key = self._keys.text(request_id)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hdel(key, _ANSWER + generation_id.encode())
        pipeline.hincrby(key, "judged", 1)
        pipeline.hget(key, "generations")
        # The count makes a new hash where the text has just expired; that one must go as well.
        pipeline.expire(key, _FORGOTTEN_SECONDS, nx=True)
        _, judged, generations, _ = await or_unavailable(pipeline.execute())
        if judged >= int(generations or 0):
            await or_unavailable(self._client.delete(key))


class RedisServedGenerations:
    """Reads the served generation from the log, where `Keys.decided` says that the decision is."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def served(self, request_id: str, generation_ids: Collection[str]) -> str | None:
        """See `ports.ServedGenerations`. A redecision is looked for in the 1,000 entries that follow."""
        call = cast(Awaitable[bytes | None], self._client.get(self._keys.decided(request_id)))
        position = await or_unavailable(call)
        if position is None:
            return None
        for limit in (1, _MAX_ENTRIES_AFTER_DECISION):
            for entry_id, fields in await self._entries(position, limit):
                if (generation_id := _served_in(entry_id, fields, request_id)) in generation_ids:
                    return generation_id
        return None

    async def _entries(self, first: bytes, limit: int) -> RawEntries:
        call = self._client.xrange(self._keys.events, first, "+", limit)
        return await or_unavailable(cast(Awaitable[RawEntries], call))


def _served_in(entry_id: bytes, fields: dict[bytes, bytes], request_id: str) -> str:
    if fields.get(b"type") not in (b"decision", b"redecision"):
        return ""
    event = decode_entry(entry_id, fields).event
    if isinstance(event, Decision | Redecision) and event.request_id == request_id:
        return event.generation_id
    return ""
