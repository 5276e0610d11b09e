"""Replicas of one model: least outstanding first, out after failures, back after a probe that works."""

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import EngineError, ServerBusyError
from services.worker.replicas import (
    EJECT_AFTER_FAILURES,
    FIRST_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    Replica,
    ReplicaPool,
)

BROKEN = EngineError("broken")


class Clock:
    """Time that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pool_of(*urls: str) -> tuple[ReplicaPool, Clock]:
    clock = Clock()
    return ReplicaPool(urls, clock), clock


def picked(pool: ReplicaPool) -> Replica:
    replica = pool.pick()
    assert replica is not None
    return replica


def test_the_least_busy_replica_is_picked_and_an_idle_pool_takes_turns() -> None:
    pool, _ = pool_of("a", "b", "c")
    turns = []
    for _ in range(6):
        replica = picked(pool)
        turns.append(replica.url)
        with pool.using(replica):
            assert picked(pool) is not replica
    assert sorted(turns) == ["a", "a", "b", "b", "c", "c"]


@given(st.integers(1, 40), st.integers(1, 5))
def test_outstanding_requests_never_differ_by_more_than_one(requests: int, replicas: int) -> None:
    pool, _ = pool_of(*map(str, range(replicas)))
    with ExitStack() as running:
        for _ in range(requests):
            running.enter_context(pool.using(picked(pool)))
            counts = [replica.outstanding for replica in pool.available]
            assert max(counts) - min(counts) <= 1
    assert [replica.outstanding for replica in pool.available] == [0] * replicas


def test_two_failures_in_a_row_eject_and_one_success_between_them_does_not() -> None:
    pool, _ = pool_of("a")
    replica = picked(pool)
    for _ in range(3):
        pool.failed(replica, BROKEN)
        pool.worked(replica)
    assert pool.pick() is replica
    for _ in range(EJECT_AFTER_FAILURES):
        pool.failed(replica, BROKEN)
    assert pool.pick() is None
    assert pool.seconds_until_room() is None
    assert pool.why_none() is BROKEN


def test_an_ejected_replica_is_probed_after_growing_pauses_and_back_when_it_works() -> None:
    pool, clock = pool_of("a", "b")
    replica = picked(pool)
    pool.failed(replica, BROKEN, fatal=True)
    pauses = []
    for _ in range(12):
        assert pool.due() == []
        pauses.append(replica.not_before - clock.now)
        clock.now = replica.not_before
        assert pool.due() == [replica]
        pool.failed(replica, BROKEN)
    assert pauses[0] == FIRST_BACKOFF_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF_SECONDS
    assert [r.url for r in pool.available] == ["b"]
    pool.worked(replica)
    assert [r.url for r in pool.available] == ["a", "b"]
    assert replica.failures == 0


def test_a_busy_replica_rests_without_being_ejected() -> None:
    pool, clock = pool_of("a")
    replica = picked(pool)
    pool.failed(replica, ServerBusyError("a", 429, 1.5))
    assert pool.pick() is None
    assert pool.seconds_until_room() == 1.5
    assert pool.available == [replica]
    clock.now += 1.5
    assert pool.pick() is replica


def test_tried_replicas_are_left_out() -> None:
    pool, _ = pool_of("a", "b")
    assert picked(pool).url == "a"
    assert pool.pick({"a"}).url == "b"  # type: ignore[union-attr]
    assert pool.pick({"a", "b"}) is None
