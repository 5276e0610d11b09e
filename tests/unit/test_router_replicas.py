"""Several workers of one model: the least loaded is asked, a broken one is left out and comes back."""

from typing import Any

import pytest

from services.common.zoo import Zoo
from services.router.fleet import Fleet, WorkerState
from services.router.ports import WorkerLoad, WorkerStatus
from tests.unit.router_fakes import FakeWorker, zoo_of

READY = WorkerStatus(True, "", "w", 2048, 4)


class Clock:
    """Time that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fleet_of(workers: int) -> tuple[Fleet, list[WorkerState], Clock]:
    addresses = [f"127.0.0.1:{7000 + i}" for i in range(workers)]
    zoo: Zoo = zoo_of(["small"], workers=[{"model": "small", "address": a} for a in addresses])
    states = [WorkerState("small", address, FakeWorker(), READY) for address in addresses]
    clock = Clock()
    return Fleet(zoo, states, clock), states, clock


def test_the_worker_with_the_least_outstanding_work_is_picked() -> None:
    fleet, (a, b, c), _ = fleet_of(3)
    a.in_flight, b.load, c.in_flight = 2, WorkerLoad(1, 0), 3
    assert fleet.pick(0) is b
    b.load = WorkerLoad(2, 3)
    assert fleet.pick(0) is a
    assert fleet.pick(0, {a.address}) is c


def test_a_worker_that_is_not_ready_is_out_and_comes_back() -> None:
    fleet, (a, b), _ = fleet_of(2)
    fleet.update(a, WorkerStatus(False, "draining"))
    assert fleet.pick(0) is b
    assert fleet.ready(0)
    fleet.update(b, WorkerStatus(False, "gone"))
    assert not fleet.ready(0)
    assert fleet.detail(0) == "draining; gone"
    fleet.update(a, READY)
    assert fleet.pick(0) is a


def test_a_worker_that_keeps_failing_is_left_out_for_growing_times() -> None:
    fleet, (a, b), clock = fleet_of(2)
    b.in_flight = 1
    for _ in range(2):
        fleet.ended(a, failed=True)
        assert fleet.pick(0) is a
    pauses: list[float] = []
    for _ in range(9):
        fleet.ended(a, failed=True)
        assert fleet.pick(0) is b
        pauses.append(a.left_out_until - clock.now)
        clock.now = a.left_out_until
        assert fleet.pick(0) is a
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, 60.0)


@pytest.mark.parametrize("others", [0, 1])
def test_failures_that_are_not_in_a_row_or_of_the_only_worker_change_nothing(others: int) -> None:
    fleet, (a, *rest), _ = fleet_of(1 + others)
    for state in rest:
        state.in_flight = 1
    failures: list[Any] = [True, True, False] * 3 if rest else [True] * 9
    for failed in failures:
        fleet.ended(a, failed)
        assert fleet.pick(0) is a
