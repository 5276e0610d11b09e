"""The Redis function that appends a router's events: steps, debt, retries."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as aioredis

from services.common.keys import Keys
from services.common.redis_client import connect
from services.core.events import Decision, Role
from services.router.adapters.redis_event_log import RedisEventLog
from services.router.ports import ClassState, LogEntry
from tests.unit.fold_events import decision, outcome, redecision

KEYS = Keys("commit")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[aioredis.Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def entry(request_id: str, sla_class: str = "a", change: float = 0.25, once: bool = False) -> LogEntry:
    return LogEntry(decision(request_id, sla_class=sla_class), sla_class, change, once)


def log_of(client: aioredis.Redis, writer: str) -> RedisEventLog:
    return RedisEventLog(client, KEYS, writer, 60)


async def test_two_writers_make_steps_without_gap_or_repeat(client: aioredis.Redis) -> None:
    rng = random.Random(4)
    sizes = {writer: [rng.randint(1, 9) for _ in range(40)] for writer in "xy"}

    async def write(writer: str) -> None:
        log = log_of(client, writer)
        for batch, size in enumerate(sizes[writer], start=1):
            names = [f"{writer}{batch}-{i}" for i in range(size)]
            replies = await log.commit(
                batch, [entry(n, sla_class=rng.choice("ab"), change=rng.uniform(-1, 1)) for n in names]
            )
            assert replies is not None
            assert len(replies) == size

    await asyncio.gather(write("x"), write("y"))
    entries = await client.xrange(KEYS.events)
    assert len(entries) == sum(map(sum, sizes.values()))
    states = [await log_of(client, "x").class_state(name) for name in "ab"]
    assert sum(state.step for state in states) == len(entries)
    seen = sorted(int(fields[b"step"]) for _, fields in entries)
    steps_expected = sorted([*range(1, states[0].step + 1), *range(1, states[1].step + 1)])
    assert seen == steps_expected


async def test_debt_is_the_sum_of_the_changes_in_log_order(client: aioredis.Redis) -> None:
    rng = random.Random(7)
    changes = [rng.uniform(-1, 1) for _ in range(200)]
    log, total = log_of(client, "w"), 0.0
    for batch in range(20):
        part = changes[10 * batch : 10 * batch + 10]
        replies = await log.commit(batch + 1, [entry(f"{batch}-{i}", change=c) for i, c in enumerate(part)])
        for change, reply in zip(part, replies or [], strict=True):
            total += change
            assert reply.debt == total
    assert await log.class_state("a") == ClassState(200, total)


async def test_a_batch_that_is_sent_again_is_not_executed_again(client: aioredis.Redis) -> None:
    log = log_of(client, "w")
    batch = [
        entry("r1"),
        LogEntry(redecision("small", "large", "r1"), "a", 0.5),
        LogEntry(outcome("small", Role.SERVED, "r1"), "a"),
        entry("r2"),
    ]
    first = await log.commit(1, batch)
    again = await log.commit(1, batch)
    assert first is not None
    assert again is not None
    assert [(r.position, r.step) for r in (again[0], again[3])] == [
        (r.position, r.step) for r in (first[0], first[3])
    ]
    assert again[3].debt == first[3].debt == 1.0
    types = [fields[b"type"] for _, fields in await client.xrange(KEYS.events)]
    assert types == [b"decision", b"redecision", b"outcome", b"decision"]
    assert len(await log.commit(2, [entry("r3")]) or []) == 1
    assert await client.xlen(KEYS.events) == 5


async def test_a_request_id_is_counted_once_across_writers(client: aioredis.Redis) -> None:
    first = await log_of(client, "x").commit(1, [entry("mine", once=True)])
    again = await log_of(client, "y").commit(1, [entry("mine", once=True), entry("other")])
    assert first is not None
    assert again is not None
    assert again[0].position == first[0].position
    assert await log_of(client, "x").class_state("a") == ClassState(2, 0.5)


async def test_nothing_is_appended_at_another_step_than_expected(client: aioredis.Redis) -> None:
    log = log_of(client, "w")
    assert await log.commit(1, [entry("r1")], expected_step=3) is None
    assert await client.exists(KEYS.events, KEYS.sla_class("a")) == 0
    assert await log.commit(1, [entry("r1")], expected_step=0) is not None
    assert await log.commit(2, [entry("r2")], expected_step=0) is None
    assert await log.commit(2, [entry("r2")], expected_step=1) is not None


async def test_a_server_that_lost_the_functions_gets_them_again(client: aioredis.Redis) -> None:
    log = log_of(client, "w")
    await log.commit(1, [entry("r1")])
    await client.function_flush()
    await log.commit(2, [entry("r2")])
    assert (await log.class_state("a")).step == 2


async def test_a_decision_is_found_by_its_request_id(client: aioredis.Redis) -> None:
    event = decision("r1", "small")
    log = log_of(client, "w")
    await log.commit(1, [LogEntry(event, event.sla_class, 0.1)])
    found = await log.decision("r1")
    assert isinstance(found, Decision)
    assert (found.request_id, found.step) == ("r1", 1)
    assert await log.decision("r2") is None
