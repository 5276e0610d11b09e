"""Follows the event log of the demo's own system."""

import asyncio
from collections.abc import Callable
from typing import Any

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.core.events import Entry

_BLOCK_MILLISECONDS = 500
_BATCH = 1000
_RETRY_SECONDS = 0.2


async def follow_log(redis_url: str, zoo: str, take: Callable[[Entry], None]) -> None:
    """Gives `take` every entry of the log from its begin, in order, until cancelled."""
    client = aioredis.Redis.from_url(redis_url)
    stream, position = Keys(zoo).events, b"0-0"
    try:
        while True:
            try:
                reply: Any = await client.xread({stream: position}, count=_BATCH, block=_BLOCK_MILLISECONDS)
            except (RedisError, OSError):
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for entry_id, fields in _entries(reply):
                take(decode_entry(entry_id, fields))
                position = entry_id
    finally:
        await client.aclose()


def _entries(reply: Any) -> Any:
    """Entries of an XREAD answer for one stream: a list of pairs in RESP2, a mapping in RESP3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [entry for batches in reply.values() for batch in batches for entry in batch]
    return reply[0][1]
