"""Requests that come alone are decided at once, those that come together in turn."""

import asyncio
from contextvars import ContextVar

from services.router.gathering import Gathering

CALLER: ContextVar[int] = ContextVar("caller", default=-1)


def waits(call) -> bool:
    """Whether a call has no answer at its first step; it is given up then."""
    try:
        call.send(None)
    except StopIteration:
        return False
    call.close()
    return True


async def test_a_single_caller_seldom_waits() -> None:
    gathering = Gathering(lambda ask: ask)
    waited = []
    for ask in range(1, 129):
        if waits(gathering.run(ask)):
            waited.append(ask)
            await asyncio.sleep(0.01)
    assert waited == [64, 128]


async def test_callers_that_come_together_are_answered_in_turn_each_in_its_own_context() -> None:
    seen = []

    def work(ask: int) -> int:
        seen.append((ask, CALLER.get()))
        if ask % 10 == 7:
            raise ValueError(ask)
        return -ask

    gathering = Gathering(work)

    async def call(ask: int) -> int:
        CALLER.set(ask)
        return await gathering.run(ask)

    answers = await asyncio.gather(*(call(ask) for ask in range(200)), return_exceptions=True)
    assert seen == [(ask, ask) for ask in range(200)]
    for ask, answer in enumerate(answers):
        if ask % 10 == 7:
            assert isinstance(answer, ValueError)
        else:
            assert answer == -ask


async def test_a_caller_that_left_is_not_worked_for() -> None:
    seen = []
    gathering = Gathering(seen.append)
    calls = [asyncio.ensure_future(gathering.run(ask)) for ask in range(80)]
    await asyncio.sleep(0)
    calls[70].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(done[70], asyncio.CancelledError)
    assert seen == [ask for ask in range(80) if ask != 70]


async def test_once_the_crowd_is_gone_nobody_waits_for_it() -> None:
    gathering = Gathering(lambda ask: ask)
    await asyncio.gather(*(gathering.run(ask) for ask in range(80)))
    assert await gathering.run(1) == 1
    assert not waits(gathering.run(2))
