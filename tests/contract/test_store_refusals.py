"""A server that is there but takes no writes is treated like one that is away."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest
import redis.asyncio as aioredis
from redis._parsers import BaseParser
from redis.exceptions import ResponseError

from services.common.keys import Keys
from services.common.redis_client import call_function, connect, or_unavailable
from services.core.errors import StateUnavailableError
from services.feedback.adapters.redis_learner_store import RedisLearnerStore

SECRET = "what nobody may read in a log"


async def write(client: aioredis.Redis) -> Any:
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.hset("a", mapping={"prompt": SECRET})
        return await or_unavailable(pipeline.execute())


@pytest.mark.parametrize(
    ("refuse", "accept", "reason"),
    [
        (("maxmemory", "1"), ("maxmemory", "0"), "out of memory"),
        (("min-replicas-to-write", "1"), ("min-replicas-to-write", "0"), "replica"),
    ],
)
async def test_refused_writes_are_an_unavailable_log(
    redis_url: str, refuse: tuple[str, str], accept: tuple[str, str], reason: str
) -> None:
    client = connect(redis_url)
    await client.config_set(*refuse)
    try:
        with pytest.raises(StateUnavailableError, match=reason) as refused:
            await write(client)
        assert SECRET not in str(refused.value)
        assert refused.value.__cause__ is None
    finally:
        await client.config_set(*accept)
    assert await write(client) == [1]
    await client.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        "BUSY Redis is busy running a script. You can only call FUNCTION KILL.",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ],
)
async def test_a_server_that_is_busy_with_itself_is_away(reply: str) -> None:
    async def refused() -> None:
        raise BaseParser.parse_error(reply)

    with pytest.raises(StateUnavailableError, match="busy, or waits for another"):
        await or_unavailable(refused())


async def test_a_wrong_command_is_a_defect_and_no_outage(redis_url: str) -> None:
    client = connect(redis_url)
    await client.set("a", "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await or_unavailable(cast(Awaitable[Any], client.hgetall("a")))
    await client.aclose()


async def test_more_commands_than_connections_wait_for_their_turn(redis_url: str) -> None:
    client = connect(redis_url, max_connections=2)
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(or_unavailable(cast(Awaitable[Any], client.set(f"crowd {number}", number))))
    assert await client.get("crowd 49") == b"49"
    await client.aclose()


async def test_a_learner_takes_its_lease_and_trims_where_memory_is_short(redis_url: str) -> None:
    """Nobody else trims the log: without its lease, memory would stay short for ever."""
    client, keys = connect(redis_url), Keys("short")
    store = RedisLearnerStore(client, keys)
    await call_function(client, "messplus_append", [keys.events], ["label", *[b"x"] * 100])
    await client.config_set("maxmemory", 1)
    try:
        assert await store.acquire("one", 5.0) == 1
        with pytest.raises(StateUnavailableError, match="out of memory"):
            await or_unavailable(call_function(client, "messplus_append", [keys.events], ["label", b"x"]))
        await call_function(
            client,
            "messplus_checkpoint",
            [keys.learner, keys.joins, keys.dead],
            [1, 1, 0, 0, 0, "entries", 5],
        )
        await client.xtrim(keys.events, maxlen=10, approximate=False)
        assert await client.xlen(keys.events) == 10
        await store.release("one")
    finally:
        await client.config_set("maxmemory", 0)
    await client.aclose()


async def test_an_older_build_s_functions_stay_its_own(redis_url: str) -> None:
    client, keys = connect(redis_url), Keys("builds")
    older = "#!lua name=messplus\nredis.register_function('messplus_append', function() return {'old'} end)"
    await cast(Awaitable[Any], client.function_load(older, replace=True))
    (position,) = await call_function(client, "messplus_append", [keys.events], ["label", b"x"])
    assert position != b"old"
    assert await client.xlen(keys.events) == 1
    assert await cast(Awaitable[Any], client.fcall("messplus_append", 1, keys.events)) == [b"old"]
    await client.aclose()
