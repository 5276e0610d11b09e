"""A learner that is killed at any instant loses nothing and counts nothing twice."""

import asyncio
import random
import signal
import time
from itertools import pairwise

import pytest
import redis
from feedback_process import (
    append,
    covers,
    eventually,
    feedback_process,
    learned,
    learning,
    random_log,
    zoo_data,
)

from services.common.keys import Keys

EVENTS = 2000
KILLS = 5


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def learn_undisturbed(client, redis_url, zoo, log):
    async def learn():
        async with learning(redis_url, zoo_data(zoo)) as caught_up:
            await caught_up()

    append(client, zoo, log, 1)
    asyncio.run(learn())
    assert covers(client, zoo, len(log))
    return learned(client, zoo)


def test_killed_anywhere_the_state_is_bit_identical(client, redis_url, tmp_path):
    rng, log = random.Random(1), random_log(1, EVENTS)
    cuts = [0, *sorted(rng.sample(range(1, EVENTS), KILLS)), EVENTS]
    killed_behind = 0
    for start, end in pairwise(cuts):
        with feedback_process(tmp_path, redis_url, zoo_data("killed"), 0.3) as learner:
            eventually(learner.leads, "a learner leads")
            append(client, "killed", log[start:end], start + 1)
            if end == EVENTS:
                eventually(lambda: covers(client, "killed", EVENTS), "the last learner is through")
            else:
                # Anywhere: while reading, folding, or between two checkpoints.
                time.sleep(rng.uniform(0, 0.04))
            learner.kill()
        killed_behind += not covers(client, "killed", end)
    assert killed_behind > 0, "no kill interrupted anything"
    state = learned(client, "killed")
    assert state == learn_undisturbed(client, redis_url, "undisturbed", log)
    assert b"heads" in state["learner"]
    assert state["dead"]
    assert state["joins"]


def test_of_two_learners_one_writes_and_the_other_takes_over(client, redis_url, tmp_path):
    log, keys, zoo = random_log(3, EVENTS), Keys("pair"), zoo_data("pair")
    with (
        feedback_process(tmp_path, redis_url, zoo) as one,
        feedback_process(tmp_path, redis_url, zoo) as other,
    ):
        eventually(lambda: one.leads() or other.leads(), "one leads")
        leader, follower = (one, other) if one.leads() else (other, one)
        append(client, "pair", log[:900], 1)
        eventually(lambda: covers(client, "pair", 900), "the leader learns")
        assert client.hget(keys.learner, "fence") == b"1"
        assert not follower.leads()
        leader.kill()
        append(client, "pair", log[900:], 901)
        eventually(follower.leads, "the follower takes over")
        eventually(lambda: covers(client, "pair", EVENTS), "the new leader learns")
        assert client.hget(keys.learner, "fence") == b"2"
    assert learned(client, "pair") == learn_undisturbed(client, redis_url, "alone", log)


def test_a_learner_that_slept_through_its_lease_writes_nothing(client, redis_url, tmp_path):
    log, keys, zoo = random_log(4, EVENTS), Keys("asleep"), zoo_data("asleep")
    with feedback_process(tmp_path, redis_url, zoo) as sleeper:
        eventually(sleeper.leads, "the first leads")
        append(client, "asleep", log[:500], 1)
        sleeper.process.send_signal(signal.SIGSTOP)
        with feedback_process(tmp_path, redis_url, zoo) as successor:
            eventually(successor.leads, "the second takes over")
            append(client, "asleep", log[500:], 501)
            sleeper.process.send_signal(signal.SIGCONT)
            eventually(lambda: covers(client, "asleep", EVENTS), "the second learns")
            eventually(lambda: not sleeper.leads(), "the first notices")
            assert successor.leads()
            assert client.hget(keys.learner, "fence") == b"2"
    assert learned(client, "asleep") == learn_undisturbed(client, redis_url, "awake", log)
