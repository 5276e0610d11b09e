"""How background tasks end."""

import asyncio
from contextlib import suppress

import pytest

from services.common import server


async def test_a_task_that_swallows_its_cancellation_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_CANCEL_AGAIN_SECONDS", 0.001)
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await server.cancel([task])
    assert swallowed.is_set()
    assert task.cancelled()


async def test_what_a_task_died_of_is_not_lost() -> None:
    async def broken() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="broken"):
        await server.cancel([task])
