"""The learner and its log: labels in any order, damaged entries, trimming, a changed zoo."""

import asyncio
import json

import pytest
import redis
from feedback_process import append, decision, fields_of, learned, learning, random_log, zoo_data

from services.common.keys import Keys
from services.common.redis_client import connect
from services.common.zoo_file import parse_zoo
from services.core.errors import FencedOutError
from services.core.events import Label, Position
from services.feedback.adapters.redis_learner_store import RedisLearnerStore
from services.feedback.configuration import fingerprint
from services.feedback.ports import Checkpoint

ZOO = "log"
KEYS = Keys(ZOO)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def label(request_id: str, generation_id: str = "", satisfaction: float = 1.0) -> dict[str, object]:
    return fields_of(Label(request_id, generation_id, satisfaction, "client"))


async def test_labels_early_late_repeated_and_for_nobody(client, redis_url):
    async with learning(redis_url, zoo_data(ZOO)) as caught_up:
        append(client, ZOO, [label("r1")], 1)
        assert (await caught_up()).labels_learned == 0, "early: waits for its decision"
        append(client, ZOO, [fields_of(decision("r1", 1))], 2)
        assert (await caught_up()).labels_learned == 1
        append(client, ZOO, [label("r1", "r1-small", 0.0)], 3)
        assert (await caught_up()).labels_learned == 1, "repeated: the first one counts"
        append(client, ZOO, [fields_of(decision("r2", 2)), label("r1"), label("nobody")], 4)
        assert (await caught_up()).dead_events == 0
        late = 2 * 86_400_000
        append(client, ZOO, [fields_of(decision("r3", 3)), label("r2")], late)
        status = await caught_up()
        assert status.labels_learned == 1, "two days late: the request waits no longer"
        assert status.dead_events == 1, "for nobody: put aside when its time is over"
    [(_, dead)] = client.xrange(KEYS.dead)
    assert dead[b"position"] == b"6-0"
    assert b"nobody" in dead[b"reason"]


async def test_damaged_entries_go_aside_with_a_reason(client, redis_url):
    damaged = [{"type": "label", "data": b"\xff"}, {"type": "gossip", "data": b""}, {"note": "no type"}]
    async with learning(redis_url, zoo_data(ZOO)) as caught_up:
        append(client, ZOO, [*damaged, label("r", satisfaction=2.0), fields_of(decision("r1", 1))], 1)
        status = await caught_up()
    assert (status.dead_events, status.log_position) == (4, "5-0")
    dead = client.xrange(KEYS.dead)
    assert [entry[b"position"] for _, entry in dead] == [b"1-0", b"2-0", b"3-0", b"4-0"]
    assert all(entry[b"reason"] for _, entry in dead)


async def test_routers_are_told_of_every_version(client, redis_url):
    with client.pubsub() as channel:
        channel.subscribe(KEYS.snapshots)
        channel.get_message(timeout=5)
        async with learning(redis_url, zoo_data(ZOO)) as caught_up:
            append(client, ZOO, [fields_of(decision("r1", 1))], 1)
            status = await caught_up()
            message = await asyncio.to_thread(channel.get_message, timeout=5)
    assert message["data"] == b"%d" % status.snapshot_version == client.hget(KEYS.learner, "version")


async def test_only_what_is_learned_and_labelled_and_old_is_trimmed(client, redis_url):
    zoo = zoo_data(ZOO, learning={"retention_entries": 1000})
    log = random_log(5, 4000)
    append(client, ZOO, log, 1)
    async with learning(redis_url, zoo) as caught_up:
        await caught_up()
        async with asyncio.timeout(20):
            while client.xlen(KEYS.events) >= 2000:
                await asyncio.sleep(0.02)
        assert client.xlen(KEYS.events) >= 1000
        assert client.xrange(KEYS.events, "-", "+", 1)[0][0] <= client.get(KEYS.labeler)
        append(client, ZOO, [fields_of(decision("after", 1))], 100_000)
        status = await caught_up()
    assert status.log_position == "100000-0"
    assert int(client.hget(KEYS.learner, "entries")) == len(log) + 1


@pytest.mark.parametrize(
    "changed",
    [{"policy": {"name": "messplus-2024"}}, {"features": "embedding"}],
    ids=["policy", "features"],
)
async def test_a_changed_zoo_learns_the_log_anew(client, redis_url, changed):
    log = random_log(6, 900)
    for zoo in (ZOO, "fresh"):
        append(client, zoo, log, 1)
    async with learning(redis_url, zoo_data(ZOO)) as caught_up:
        await caught_up()
    client.delete(KEYS.dead)
    async with learning(redis_url, zoo_data(ZOO, **changed)) as caught_up:
        async with asyncio.timeout(20):
            while client.hget(KEYS.learner, "configuration") == learned_for(client):
                await asyncio.sleep(0.01)
        await caught_up()
    async with learning(redis_url, zoo_data("fresh", **changed)) as caught_up:
        await caught_up()
    assert learned(client, ZOO) == learned(client, "fresh")


OTHER_MODELS = ("large", "huge", "small")


@pytest.mark.parametrize("live", [False, True], ids=["at a restart", "while it runs"])
async def test_of_other_models_what_was_learned_is_carried_over(client, redis_url, live):
    append(client, ZOO, random_log(6, 900), 1)
    other = zoo_data(ZOO, OTHER_MODELS)
    async with learning(redis_url, zoo_data(ZOO)) as caught_up:
        before = await caught_up()
        document = json.loads(client.hget(KEYS.learner, "control"))
        if live:
            await caught_up.learn_for(other)
            await changed_over(client)
            after = await caught_up()
    if not live:
        async with learning(redis_url, other) as caught_up:
            await changed_over(client)
            after = await caught_up()
    assert after.labels_learned == before.labels_learned > 0
    assert after.snapshot_version == before.snapshot_version + 1, "written though nothing new came"
    assert (after.open_joins, after.dead_events) == (before.open_joins, before.dead_events)
    carried = json.loads(client.hget(KEYS.learner, "control"))
    was, now = document["classes"]["standard"], carried["classes"]["standard"]
    assert now["served"] == [was["served"][2], 0, was["served"][0]]
    assert {**now, "served": 0} == {**was, "served": 0}
    assert carried["energy"][2] == document["energy"][0]
    assert carried["heads_revision"] == document["heads_revision"] + 1


async def changed_over(client) -> None:
    async with asyncio.timeout(20):
        while json.loads(client.hget(KEYS.learner, "control"))["models"] != list(OTHER_MODELS):
            await asyncio.sleep(0.01)


async def test_of_a_model_that_is_gone_the_sla_counts_and_nothing_is_learned(client, redis_url):
    async with learning(redis_url, zoo_data(ZOO, OTHER_MODELS)) as caught_up:
        append(client, ZOO, [fields_of(decision("r1", 1, model="medium")), label("r1")], 1)
        status = await caught_up()
    standard = json.loads(client.hget(KEYS.learner, "control"))["classes"]["standard"]
    assert (standard["steps"], standard["labelled"], standard["served"]) == (1, 1, [0, 0, 0])
    assert (status.labels_learned, status.dead_events) == (1, 0)


def learned_for(client) -> bytes:
    """The configuration of the unchanged zoo."""
    return fingerprint(parse_zoo(zoo_data(ZOO), "test"))


async def test_a_damaged_checkpoint_is_built_anew_from_the_log(client, redis_url):
    append(client, ZOO, random_log(7, 900), 1)
    async with learning(redis_url, zoo_data(ZOO)) as caught_up:
        await caught_up()
    before = learned(client, ZOO)
    client.hset(KEYS.learner, "heads", b"garbage")
    client.delete(KEYS.dead)
    async with learning(redis_url, zoo_data(ZOO)) as caught_up:
        async with asyncio.timeout(20):
            while client.hget(KEYS.learner, "heads") == b"garbage":
                await asyncio.sleep(0.01)
        await caught_up()
    assert learned(client, ZOO) == before


async def test_an_old_fence_writes_nothing(redis_url, client):
    connection = connect(redis_url)
    try:
        store = RedisLearnerStore(connection, KEYS)
        old = await store.acquire("one", 5.0)
        assert await store.acquire("two", 5.0) is None
        assert await store.acquire("one", 5.0) == old, "renewing keeps the token"
        await store.release("two")
        assert await store.acquire("two", 5.0) is None, "only its owner gives a lease back"
        await store.release("one")
        assert await store.acquire("two", 5.0) == old + 1
        late = Checkpoint(Position(9, 0), 9, 9, 0, 0, b"", {"control": b"x"}, {"r": b"j"}, [], [])
        before = client.hgetall(KEYS.learner)
        with pytest.raises(FencedOutError):
            await store.checkpoint(old, late)
        assert client.hgetall(KEYS.learner) == before
        assert client.hgetall(KEYS.joins) == {}
    finally:
        await connection.aclose()
