"""Starts the processes of a local system, restarts those that die, and stops them in order."""

import asyncio
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from cli.failure import CommandError
from cli.local.child import kill_group, last_line, spawn, terminate
from cli.local.data_directory import DataDirectory
from cli.local.health import until_ready
from cli.local.plan import STOP_ORDER, STORE, ServiceSpec

READY_SECONDS = 300.0
"""How long all services together may take until they are ready; a large model loads for minutes."""
MAX_CRASHES = 5
CRASH_WINDOW_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_EXIT_CONFIG = 2
_KILL_MARGIN_SECONDS = 5.0


class State(Enum):
    """What a supervised service is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Supervised:
    """A service and how it fares."""

    spec: ServiceSpec
    state: State = State.WAITING
    process: Process | None = None
    restarts: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ready_after_seconds: float | None = None
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_CRASHES))
    needed: bool = True
    """Whether the system cannot go on without it: not while it is being added, nor once it leaves."""


class Supervisor:
    """The running system. Use it from one event loop in the main thread."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        data: DataDirectory,
        drain_seconds: float,
        on_change: Callable[[Supervised], None] = lambda _: None,
    ) -> None:
        self.services = [Supervised(spec) for spec in specs]
        self._data, self._drain_seconds, self._on_change = data, drain_seconds, on_change
        self._keepers: dict[Supervised, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self._began = time.monotonic()

    async def start(self) -> None:
        """Starts everything: the store, then all others at once. Returns when all are ready.

        Raises CommandError when a service keeps crashing or is not ready in time, naming its log.
        """
        self._began = time.monotonic()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._start_all([s for s in self.services if s.spec.kind == STORE])
                await self._start_all([s for s in self.services if s.spec.kind != STORE])
        except TimeoutError:
            late = [s for s in self.services if s.state is not State.READY]
            raise CommandError(f"not ready after {READY_SECONDS:g} s: {self._logs(late)}") from None

    async def watch(self) -> None:
        """Runs until a service keeps crashing, and then raises CommandError naming its log.

        Cancelling it leaves the services running: `stop` drains them.
        """
        while True:
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            needed = [keeper for service, keeper in self._keepers.items() if service.needed]
            try:
                done, _ = await asyncio.wait([changed, *needed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            for keeper in done - {changed}:
                keeper.result()
            if not changed.done():
                return

    def signal(self, service: Supervised, number: int) -> None:
        """Sends a signal to a service's process, if there is one now."""
        if service.process and service.process.returncode is None:
            with suppress(ProcessLookupError):
                service.process.send_signal(number)

    async def add(self, specs: Sequence[ServiceSpec]) -> None:
        """Starts further services; returns when all are ready.

        Raises CommandError when one keeps crashing or is not ready in time; then none of them stays.
        """
        services = [Supervised(spec, needed=False) for spec in specs]
        self.services += services
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._start_all(services)
        except (CommandError, TimeoutError) as error:
            await self.remove(services)
            raise CommandError(str(error) or f"not ready in time: {self._logs(services)}") from None
        for service in services:
            service.needed = True
        self._changed.set()

    async def remove(self, services: Sequence[Supervised]) -> None:
        """Drains and stops these services; the others go on."""
        for service in services:
            service.needed = False
        self._changed.set()
        await asyncio.gather(*(self._stop_one(service) for service in services))
        for service in services:
            self.services.remove(service)
            self._keepers.pop(service, None)
        self._data.write_processes(self._process_ids())

    async def stop(self) -> None:
        """Drains and stops every service, kind by kind; returns when no process is left."""
        self._stopping = True
        for kind in STOP_ORDER:
            await asyncio.gather(*(self._stop_one(s) for s in self.services if s.spec.kind == kind))

    def kill(self) -> None:
        """Kills every service at once; `stop` then returns quickly."""
        for service in self.services:
            if service.process and service.process.returncode is None:
                kill_group(service.process)

    async def _start_all(self, services: Sequence[Supervised]) -> None:
        for service in services:
            self._keepers[service] = asyncio.create_task(self._keep_running(service))
        keepers = [self._keepers[service] for service in services]
        ready = asyncio.create_task(self._until_all_ready(services))
        try:
            done, _ = await asyncio.wait([ready, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            ready.cancel()

    async def _until_all_ready(self, services: Sequence[Supervised]) -> None:
        await asyncio.gather(*(service.ready.wait() for service in services))

    async def _keep_running(self, service: Supervised) -> None:
        """Runs a service until the system stops; raises CommandError when it keeps crashing."""
        while True:
            service.process = await spawn(service.spec, self._data.log_file(service.spec.name))
            self._data.write_processes(self._process_ids())
            self._enter(service, State.STARTING)
            status = await self._run(service, service.process)
            if self._stopping or service.state is State.STOPPING:
                return
            self._count_crash(service, status)
            self._enter(service, State.RESTARTING)
            service.restarts += 1
            pause = _FIRST_PAUSE_SECONDS * 2 ** (len(service.crashes) - 1)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE_SECONDS))

    async def _run(self, service: Supervised, process: Process) -> int:
        """Waits for the end of a process, and for its readiness meanwhile. Returns its exit status."""
        becoming_ready = asyncio.create_task(self._become_ready(service))
        try:
            return await process.wait()
        finally:
            becoming_ready.cancel()
            with suppress(asyncio.CancelledError):
                await becoming_ready
            kill_group(process)

    async def _become_ready(self, service: Supervised) -> None:
        await until_ready(lambda: service.spec.probe())
        service.ready_after_seconds = time.monotonic() - self._began
        self._enter(service, State.READY)

    def _count_crash(self, service: Supervised, status: int) -> None:
        now, name = time.monotonic(), service.spec.name
        while service.crashes and now - service.crashes[0] > CRASH_WINDOW_SECONDS:
            service.crashes.popleft()
        service.crashes.append(now)
        log_file = self._data.log_file(name)
        if status == _EXIT_CONFIG:
            raise CommandError(f"{name} refused its configuration: {last_line(log_file)} (log: {log_file})")
        if len(service.crashes) >= MAX_CRASHES:
            raise CommandError(
                f"{name} ended {MAX_CRASHES} times within {CRASH_WINDOW_SECONDS:g} s, at last with status "
                f"{status}: {last_line(log_file)} (log: {log_file})"
            )

    async def _stop_one(self, service: Supervised) -> None:
        keeper = self._keepers.get(service)
        if keeper is None:
            return
        self._enter(service, State.STOPPING)
        if service.process:
            await terminate(service.process, self._drain_seconds + _KILL_MARGIN_SECONDS)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        if service.process:
            await terminate(service.process, 0)
        self._enter(service, State.STOPPED)

    def _enter(self, service: Supervised, state: State) -> None:
        service.state = state
        if state is State.READY:
            service.ready.set()
        self._on_change(service)

    def _process_ids(self) -> dict[str, int]:
        return {s.spec.name: s.process.pid for s in self.services if s.process}

    def _logs(self, services: Sequence[Supervised]) -> str:
        return ", ".join(f"{s.spec.name} (log: {self._data.log_file(s.spec.name)})" for s in services)
