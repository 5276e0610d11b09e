"""Events reach the log in order and once, whatever the log does meanwhile."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import OverloadedError, StateUnavailableError
from services.core.events import Role
from services.router import commits as commits_module
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.instruments import Instruments
from services.router.ports import ClassState, LogEntry
from tests.unit.fold_events import decision, outcome
from tests.unit.router_fakes import FakeLog


@pytest.fixture(autouse=True)
def _retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits_module, "_RETRY_SECONDS", 0.001)


def entry(name: str, is_decision: bool = True) -> LogEntry:
    if is_decision:
        return LogEntry(decision(name), "a", 0.5)
    return LogEntry(outcome("small", Role.SERVED, name), "a")


def queue_to(log: FakeLog, max_buffered: int = 100) -> tuple[Commits, ClassStates]:
    classes = ClassStates(("a",))
    return Commits(log, classes, Instruments(), max_buffered, linger_seconds=0.0), classes


async def test_what_is_submitted_in_one_tick_is_one_batch() -> None:
    log = FakeLog()
    commits, classes = queue_to(log)
    for i in range(10):
        commits.submit(entry(str(i)))
    assert classes.state("a") == ClassState(10, 5.0)
    await commits.flushed()
    assert log.batches == [10]
    assert classes.state("a") == ClassState(10, 5.0)


@given(seed=st.integers(0, 2**32), outages=st.lists(st.booleans(), max_size=30))
@settings(max_examples=60, deadline=None)
def test_lost_replies_and_outages_change_nothing(seed: int, outages: list[bool]) -> None:
    async def run() -> None:
        log, rng, names = FakeLog(), random.Random(seed), []
        commits, classes = queue_to(log)
        for i, away in enumerate(outages):
            log.away, log.lose_replies = away, rng.randint(0, 1)
            for j in range(rng.randint(0, 4)):
                names.append(f"{i}.{j}")
                commits.submit(entry(names[-1], rng.random() < 0.5))
            await asyncio.sleep(0)
        log.away = False
        await commits.close(5.0)
        assert [e.event.request_id for e in log.entries] == names
        assert not len(commits)
        assert not commits.degraded
        assert classes.state("a").debt == sum(e.debt_change for e in log.entries)

    asyncio.run(run())


async def test_a_full_buffer_refuses_decisions() -> None:
    log = FakeLog(away=True)
    commits, _ = queue_to(log, max_buffered=3)
    for i in range(3):
        commits.require_room()
        commits.submit(entry(str(i)))
    with pytest.raises(OverloadedError):
        commits.require_room()
    await commits.close(0.01)


async def test_an_exact_submission_whose_reply_is_lost_is_there_once() -> None:
    log = FakeLog(lose_replies=1)
    commits, _ = queue_to(log)
    with pytest.raises(StateUnavailableError):
        await commits.submit_at(entry("x"), 0)
    commits.submit(entry("y"))
    await commits.close(5.0)
    assert [e.event.request_id for e in log.entries] == ["x", "y"]


async def test_an_exact_submission_at_another_step_is_declined() -> None:
    commits, _ = queue_to(FakeLog())
    assert await commits.submit_at(entry("x"), 3) is None
    committed = await commits.submit_at(entry("x"), 0)
    assert committed is not None
    assert committed.step == 1


@pytest.mark.parametrize("refusal", [StateUnavailableError("its disk is full"), RuntimeError("wrong type")])
async def test_an_outage_is_logged_once_at_its_begin_and_once_at_its_end(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    log = FakeLog(refusal=refusal)
    commits, _ = queue_to(log)
    for i in range(20):
        commits.submit(entry(str(i)))
        while log.refused <= 3 * i:
            await asyncio.sleep(0.001)
    assert commits.degraded
    (begin,) = caplog.records
    assert "going on with the last known state" in begin.getMessage()
    assert str(refusal) in caplog.text
    log.refusal = None
    await commits.close(5.0)
    assert len(log.entries) == 20
    assert [r.getMessage() for r in caplog.records[1:]] == [
        f"the event log is back, after {log.refused} failures"
    ]


async def test_a_refusal_after_an_outage_is_logged_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    log = FakeLog(refusal=StateUnavailableError("away"))
    commits, _ = queue_to(log)
    commits.submit(entry("x"))
    for reason in (RuntimeError("wrong type"), StateUnavailableError("away again")):
        seen = log.refused
        while log.refused < seen + 2:
            await asyncio.sleep(0.001)
        log.refusal = reason
    seen = log.refused
    while log.refused < seen + 2:
        await asyncio.sleep(0.001)
    assert [record.exc_info is not None for record in caplog.records] == [False, True]
    log.refusal = None
    await commits.close(5.0)
