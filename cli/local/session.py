"""Runs a local system around a piece of work, from its start to its orderly end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cli.local.supervisor import Supervisor

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_system(supervisor: Supervisor, work: Callable[[], Awaitable[None]]) -> bool:
    """Starts the system, does `work`, and stops the system whatever happens.

    The first Ctrl-C (or SIGTERM, SIGHUP) ends the work and drains, the second kills. Returns whether the
    work came to its end by itself. Raises CommandError when a service keeps crashing, and what `work` raises.
    """
    interrupted = asyncio.Event()
    with _signals(interrupted, supervisor):
        job = asyncio.create_task(_start_and_do(supervisor, work))
        interruption = asyncio.create_task(interrupted.wait())
        try:
            await asyncio.wait({job, interruption}, return_when=asyncio.FIRST_COMPLETED)
            if job.done():
                job.result()
            return job.done()
        finally:
            await _end((job, interruption))
            await supervisor.stop()


async def _start_and_do(supervisor: Supervisor, work: Callable[[], Awaitable[None]]) -> None:
    await supervisor.start()
    tasks: set[asyncio.Future[None]] = {
        asyncio.ensure_future(supervisor.watch()),
        asyncio.ensure_future(work()),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def _end(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _signals(interrupted: asyncio.Event, supervisor: Supervisor) -> Iterator[None]:
    def on_signal() -> None:
        if interrupted.is_set():
            supervisor.kill()
        interrupted.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
