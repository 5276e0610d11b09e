"""Waits end when they take too long, and only then."""

import asyncio

import pytest

from services.worker.patience import Patience


async def test_a_wait_that_is_too_long_ends_and_the_task_goes_on() -> None:
    patience = Patience()
    with pytest.raises(TimeoutError), patience.at_most(0.05):
        await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    with patience.at_most(60):
        await asyncio.sleep(0.01)
    patience.close()


async def test_each_wait_has_its_own_limit_and_time_between_them_does_not_count() -> None:
    patience = Patience()
    for _ in range(6):
        with patience.at_most(0.2):
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    with patience.at_most(60):
        await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), patience.at_most(0.05):  # shorter than the one before
        await asyncio.sleep(60)
    assert asyncio.get_running_loop().time() - began < 10
    patience.close()


async def test_a_cancelled_wait_is_no_timeout() -> None:
    async def wait() -> None:
        with Patience().at_most(60):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_that_ends_too_late_and_is_cancelled_meanwhile_stays_cancelled() -> None:
    async def wait() -> None:
        patience = Patience()
        with patience.at_most(0.05):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                task.cancel()  # while it is already being ended
                raise

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_errors_pass() -> None:
    patience = Patience()
    with pytest.raises(KeyError), patience.at_most(60):
        raise KeyError("x")
    patience.close()
