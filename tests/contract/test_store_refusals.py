"""A server that is there but takes no writes is treated like one that is away."""

from collections.abc import Awaitable
from typing import Any, cast

import pytest
import redis.asyncio as aioredis
from redis.exceptions import ResponseError

from services.common.redis_client import connect, or_unavailable
from services.core.errors import StateUnavailableError

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


async def test_a_wrong_command_is_a_defect_and_no_outage(redis_url: str) -> None:
    client = connect(redis_url)
    await client.set("a", "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await or_unavailable(cast(Awaitable[Any], client.hgetall("a")))
    await client.aclose()
