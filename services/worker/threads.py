"""Blocking work that must not hold up the end of the process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(body: Callable[[], T]) -> T:
    """Awaits `body` in a thread that is abandoned when the process ends (a download may take minutes)."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(body())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="fetch", daemon=True).start()
    return await asyncio.wrap_future(future)
