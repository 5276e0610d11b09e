"""Runs a local system around a piece of work, from its start to its orderly end."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cli.local.supervisor import Supervisor
from services.common.server import cancel

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STANDARD_STREAMS = (0, 1, 2)


async def run_system(
    supervisor: Supervisor,
    work: Callable[[], Awaitable[None]],
    on_hangup: Callable[[], None] | None = None,
) -> bool:
    """Starts the system, does `work`, and stops the system whatever happens.

    The first Ctrl-C (or SIGTERM, SIGHUP) ends the work and drains, the second kills. Returns whether the
    work came to its end by itself. With `on_hangup`, SIGHUP calls that instead, unless it means that the
    terminal was closed. Raises CommandError when a service keeps crashing, and what `work` raises.
    """
    interrupted = asyncio.Event()
    with _signals(interrupted, supervisor, on_hangup):
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
    """Ends what still runs. What a task raised was raised already, or is of no use to who interrupted it."""
    for task in tasks:
        with suppress(Exception):
            await cancel([task])


@contextmanager
def _signals(
    interrupted: asyncio.Event, supervisor: Supervisor, on_hangup: Callable[[], None] | None
) -> Iterator[None]:
    terminal = next((stream for stream in _STANDARD_STREAMS if os.isatty(stream)), None)

    def on_signal() -> None:
        if interrupted.is_set():
            supervisor.kill()
        interrupted.set()

    def on_sighup() -> None:
        # A terminal that was closed is a terminal no more.
        if on_hangup is None or (terminal is not None and not os.isatty(terminal)):
            on_signal()
        else:
            on_hangup()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_sighup if number is signal.SIGHUP else on_signal)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
