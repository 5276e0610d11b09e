"""Changes a running local system to what its zoo file says now, step by step, without a failed request.

New workers serve before any router hears of them, the learner knows the new models before they are chosen,
and removed workers are stopped once no router chooses them any more.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cli.failure import CommandError, explain
from cli.local.data_directory import DataDirectory
from cli.local.health import grpc_serves, until_ready
from cli.local.plan import ServiceSpec, addresses
from cli.local.ports import check_addresses, split_address
from cli.local.supervisor import Supervised, Supervisor
from services.common.live_zoo import changed_zoo, zoo_name
from services.common.zoo import Zoo
from services.core.errors import MessPlusError

TAKE_OVER_SECONDS = 60.0
"""How long a service may take until it runs a changed zoo."""
_TOLD_FIRST, _TOLD_LAST = ("energy",), ("feedback", "router", "worker")


class Reload:
    """Reads the zoo file again whenever it is asked to, and records what came of it.

    Args:
        supervisor: the running system.
        data: where the result goes.
        zoo_file: what it runs.
        zoo: what that file said.
        plan: the processes that a zoo needs.
        prepare: what must be there before new workers start, such as weights; may take long.

    """

    def __init__(
        self,
        supervisor: Supervisor,
        data: DataDirectory,
        zoo_file: Path,
        zoo: Zoo,
        plan: Callable[[Zoo], Sequence[ServiceSpec]],
        prepare: Callable[[Zoo], None],
    ) -> None:
        self._supervisor, self._data, self._zoo_file, self._zoo = supervisor, data, zoo_file, zoo
        self._plan, self._prepare = plan, prepare
        self._asked, self._number = asyncio.Event(), 0

    def ask(self) -> None:
        """Asks for one more reading."""
        self._asked.set()

    async def follow(self, say: Callable[[str], None]) -> None:
        """Does what it is asked, for ever, and says how it went."""
        self._record([])
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._change()
                problems: list[str] = []
            except (MessPlusError, OSError) as error:
                problems = explain(error)
            self._number += 1
            for line in problems or [f"Runs the changed zoo: {', '.join(self._zoo.model_ids)}"]:
                say(f"not changed: {line}" if problems else line)
            self._record(problems)

    def _record(self, problems: list[str]) -> None:
        self._data.write_reload(self._number, self._zoo_file, problems)

    async def _change(self) -> None:
        """Raises ConfigError, CommandError, ModelStoreError or OSError; what serves goes on serving."""
        zoo = await asyncio.to_thread(changed_zoo, self._zoo_file, self._zoo)
        specs = self._plan(zoo)
        added, removed = self._differences(specs)
        check_addresses(addresses(added))
        await asyncio.to_thread(self._prepare, zoo)
        await self._tell(_TOLD_FIRST, zoo)
        await self._supervisor.add(added)
        self._update_probes(specs)
        await self._tell(_TOLD_LAST, zoo, without=removed)
        await self._supervisor.remove(removed)
        self._zoo = zoo

    def _differences(self, specs: Sequence[ServiceSpec]) -> tuple[list[ServiceSpec], list[Supervised]]:
        """Processes to start, under names that are free, and those to stop."""
        wanted, running = (
            {_place(spec) for spec in specs},
            {_place(s.spec) for s in self._supervisor.services},
        )
        names = {service.spec.name for service in self._supervisor.services}
        added = [_named(spec, names) for spec in specs if _place(spec) not in running]
        return added, [s for s in self._supervisor.services if _place(s.spec) not in wanted]

    def _update_probes(self, specs: Sequence[ServiceSpec]) -> None:
        """A router is ready once it sees the models of today."""
        probes = {_place(spec): spec.probe for spec in specs}
        for service in self._supervisor.services:
            service.spec = replace(service.spec, probe=probes.get(_place(service.spec), service.spec.probe))

    async def _tell(self, kinds: Sequence[str], zoo: Zoo, without: Sequence[Supervised] = ()) -> None:
        """Makes all services of these kinds, one kind after the other, run the zoo."""
        for kind in kinds:
            told = [s for s in self._supervisor.services if s.spec.kind == kind and s not in without]
            for service in told:
                self._supervisor.signal(service, signal.SIGHUP)
            await asyncio.gather(*(self._until_running(service, zoo) for service in told))

    async def _until_running(self, service: Supervised, zoo: Zoo) -> None:
        try:
            async with asyncio.timeout(TAKE_OVER_SECONDS):
                await until_ready(partial(grpc_serves, service.spec.address, zoo_name(zoo)))
        except TimeoutError:
            name = service.spec.name
            raise CommandError(
                f"{name} does not run the changed zoo after {TAKE_OVER_SECONDS:g} s; "
                f"its log: {self._data.log_file(name)}"
            ) from None


def _place(spec: ServiceSpec) -> tuple[str, str, str]:
    """What makes a process the same one: its kind, where it listens and what it serves."""
    return spec.kind, spec.address, spec.environment.get("MESSPLUS_MODEL", "")


def _named(spec: ServiceSpec, taken: set[str]) -> ServiceSpec:
    """The process under a name of its own: the ones that run keep theirs."""
    if spec.name not in taken:
        return spec
    name = f"{spec.name}-{split_address(spec.address)[1]}"
    return replace(spec, name=name, environment={**spec.environment, "MESSPLUS_INSTANCE_ID": name})
