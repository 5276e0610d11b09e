"""The connection to Redis or Valkey (7.0 or newer) and the functions that live there."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable
from functools import cache
from importlib import resources
from typing import Any, TypeVar, cast

import hiredis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from services.core.errors import StateUnavailableError

T = TypeVar("T")
CONNECT_TIMEOUT_SECONDS = 1.0
REPLY_TIMEOUT_SECONDS = 5.0
STATE_AWAY = (RedisConnectionError, TimeoutError, ConnectionError, asyncio.TimeoutError)


class PackedConnection(aioredis.Connection):
    """Packs commands in C; the connection that it replaces does so in Python, argument by argument."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """See `redis.asyncio.Connection`; a command name of two words is two arguments."""
        return [hiredis.pack_command((*args[0].split(), *args[1:]))]


def connect(url: str, max_connections: int = 64) -> aioredis.Redis:
    """A client of bytes, not text. It connects at first use and never retries by itself.

    A failed command raises at once, so that the caller decides between waiting and going on degraded. Where
    no connection is free, a command waits for one as long as it would for a reply: a crowd is no outage.
    """
    # Other schemes bring their own kind of connection, which takes precedence over this one.
    pool = aioredis.BlockingConnectionPool.from_url(
        url,
        connection_class=PackedConnection,
        decode_responses=False,
        max_connections=max_connections,
        timeout=REPLY_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=REPLY_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return aioredis.Redis.from_pool(pool)


@cache
def _functions() -> tuple[str, str]:
    """This build's functions, and what their names end with: builds side by side each call their own."""
    source = resources.files(__package__).joinpath("functions.lua").read_text(encoding="utf-8")
    build = hashlib.blake2b(source.encode(), digest_size=4).hexdigest()
    named = source.replace("name=messplus", f"name=messplus_{build}")
    return re.sub(r"'(messplus_\w+)'", rf"'\1_{build}'", named), build


async def call_function(client: aioredis.Redis, name: str, keys: list[str], args: list[Any]) -> Any:
    """FCALL of a function of `functions.lua`; loads them first where the server lacks this build's."""
    source, build = _functions()
    full_name = f"{name}_{build}"
    try:
        return await client.fcall(full_name, len(keys), *keys, *args)
    except ResponseError as error:
        if "Function not found" not in str(error):
            raise
        await cast(Awaitable[Any], client.function_load(source, replace=True))
        return await client.fcall(full_name, len(keys), *keys, *args)


async def or_unavailable(call: Awaitable[T]) -> T:
    """Awaits a Redis call; raises StateUnavailableError while the server is away or takes no writes."""
    try:
        return await call
    except STATE_AWAY as error:
        raise StateUnavailableError(f"the event log cannot be reached: {type(error).__name__}") from error
    except ResponseError as error:
        if (reason := _refusal(error)) is None:
            raise
        # Without the error itself: it repeats the command, and that may hold a prompt.
        raise StateUnavailableError(f"the event log takes no writes: {reason}") from None


def _refusal(error: ResponseError) -> str | None:
    """Why a healthy command was refused, None where the command itself was wrong."""
    if isinstance(error, OutOfMemoryError):
        return "the server is out of memory"
    if isinstance(error, ReadOnlyError) or "NOREPLICAS" in str(error):
        return "the server is a replica or lacks its own"
    if isinstance(error, ClusterDownError) or str(error).startswith("BUSY "):
        return "the server is busy, or waits for another one"
    return "the server cannot save: is its disk full?" if "MISCONF" in str(error) else None
