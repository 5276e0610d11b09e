"""One child process: started on a leash in a session of its own, ended with its whole group."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path

from cli.local import leash
from cli.local.plan import ServiceSpec
from cli.settings import inherited_environment

_TAIL_BYTES = 4096


async def spawn(spec: ServiceSpec, log_file: Path) -> Process:
    """Starts a service; its output goes to `log_file`.

    The session of its own keeps a terminal's Ctrl-C away from it: the supervisor decides who stops when.
    Call it from the main thread: the kernel's death signal follows the thread that forked.
    """
    launcher = (sys.executable, "-S", "-E", str(Path(leash.__file__)), str(os.getpid()))
    with log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *launcher,
            *spec.command,
            env={**inherited_environment(), **spec.environment},
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def terminate(process: Process, patience_seconds: float) -> bool:
    """Asks a process to end, kills its group after `patience_seconds`. Returns whether it ended by itself."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience_seconds)
        graceful = True
    except TimeoutError:
        graceful = False
    kill_group(process)
    await process.wait()
    return graceful


def kill_group(process: Process) -> None:
    """Kills a child and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def last_line(log_file: Path) -> str:
    """The last line of a log that is not blank, "" where there is none."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
