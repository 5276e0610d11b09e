"""The key of decision ids: one for all routers of a zoo, and it survives the loss of Redis' data."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
import redis.asyncio as aioredis

from services.common.decision_token import DecisionTokens
from services.common.keys import Keys
from services.common.redis_client import connect
from services.core.errors import StateUnavailableError
from services.feedback.adapters.redis_decision_check import RedisDecisionCheck

KEYS = Keys("tokens")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[aioredis.Redis]:
    client = connect(redis_url)
    await client.delete(KEYS.secret)
    yield client
    await client.aclose()


async def shared(client: aioredis.Redis) -> DecisionTokens:
    tokens = DecisionTokens.new()
    await tokens.share(client, KEYS)
    return tokens


async def test_all_routers_mint_the_same_ids(client: aioredis.Redis) -> None:
    one, other = await shared(client), await shared(client)
    assert one.mint("r") == other.mint("r") != DecisionTokens.new().mint("r")
    assert one.matches("r", other.mint("r"))


async def test_ids_stay_valid_when_the_store_lost_its_data(client: aioredis.Redis) -> None:
    router, check = await shared(client), RedisDecisionCheck(client, KEYS)
    before = router.mint("r")
    await client.delete(KEYS.secret)
    with pytest.raises(StateUnavailableError, match="no router has shared the key"):
        await check.matches("r", before)
    assert await client.get(KEYS.secret) is None
    await router.share(client, KEYS)
    assert await check.matches("r", before)
    assert not await check.matches("other", before)


async def test_a_router_takes_over_what_another_one_shared_meanwhile(client: aioredis.Redis) -> None:
    old = await shared(client)
    await client.delete(KEYS.secret)
    new = await shared(client)
    assert old.mint("r") != new.mint("r")
    await old.share(client, KEYS)
    assert old.mint("r") == new.mint("r")
    assert cast(bytes, await client.get(KEYS.secret))
