"""Claims of request ids in a real store: short while they run, long once they have an answer."""

import pytest

from services.common.keys import Keys
from services.common.redis_client import connect
from services.router.adapters.redis_claims import RedisClaims
from services.router.requests import Failure, Record

KEYS = Keys("claims")
LEASE_SECONDS, KEPT_SECONDS = 12, 600


async def test_a_claim_lasts_only_while_its_router_renews_it_and_its_answer_for_long(redis_url: str) -> None:
    client = connect(redis_url)
    claims = RedisClaims(client, KEYS, KEPT_SECONDS, LEASE_SECONDS)
    assert await claims.claim("mine", "generate") is None
    assert 0 < await client.ttl(KEYS.claim("mine")) <= LEASE_SECONDS
    await client.expire(KEYS.claim("mine"), 3)
    await claims.renew(["mine", "unknown"])
    assert 3 < await client.ttl(KEYS.claim("mine")) <= LEASE_SECONDS
    assert await client.exists(KEYS.claim("unknown")) == 0

    record = Record("generate", failure=Failure("small", 3, "broke"))
    await claims.record("mine", record)
    await claims.renew(["mine"])
    assert await client.ttl(KEYS.claim("mine")) > KEPT_SECONDS - 10
    assert await claims.claim("mine", "generate") == record
    await client.aclose()


async def test_a_claim_whose_router_is_gone_is_free_again(redis_url: str) -> None:
    client = connect(redis_url)
    claims = RedisClaims(client, KEYS, KEPT_SECONDS, LEASE_SECONDS)
    assert await claims.claim("orphan", "generate") is None
    assert await claims.claim("orphan", "generate") == Record("generate")
    await client.pexpire(KEYS.claim("orphan"), 1)
    while await claims.read("orphan") is not None:
        pass
    assert await claims.claim("orphan", "generate") is None
    await client.aclose()


@pytest.mark.parametrize("kept_seconds", [5, LEASE_SECONDS])
async def test_nothing_is_kept_for_longer_than_the_zoo_says(redis_url: str, kept_seconds: int) -> None:
    client = connect(redis_url)
    await RedisClaims(client, KEYS, kept_seconds, LEASE_SECONDS).claim(f"short {kept_seconds}", "decide")
    assert await client.ttl(KEYS.claim(f"short {kept_seconds}")) <= kept_seconds
    await client.aclose()
