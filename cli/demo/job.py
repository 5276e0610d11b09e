"""The demo's work from start to summary, on a system of its own."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.demo.follow import follow_log
from cli.demo.live import LiveView
from cli.demo.measurement import baseline_run, routed_run
from cli.demo.outcomes import outcome_columns
from cli.demo.power import follow_power
from cli.demo.prompts import DemoPrompt
from cli.demo.run_log import RunLog
from cli.demo.spent import PowerPoint, RunEnergy
from cli.demo.stage import write_zoo
from cli.demo.summary import Summary, summarize
from cli.local.data_directory import DataDirectory, opened
from cli.local.display import SystemDisplay
from cli.local.plan import plan_system
from cli.local.session import run_system
from cli.local.supervisor import Supervisor
from services.common.server import cancel
from services.common.zoo import Zoo
from services.core.events import Entry


class DemoJob:
    """One demo run of a staged zoo; what it found is there once it came to its end.

    Attributes:
        summary: everything that the report shows.
        outcomes: every model's outcome on every prompt, as columns for replay.
        entries: the event log.
        energy: joules of the routed run by generation, and the meters' power meanwhile.

    """

    def __init__(self, zoo: Zoo, prompts: Sequence[DemoPrompt], seed: int, console: Console) -> None:
        self._zoo, self._prompts, self._seed, self._console = zoo, prompts, seed, console
        self._log = RunLog()
        self._view = LiveView(console, self._log, zoo.sla_classes[0].min_satisfaction)
        self.summary: Summary | None = None
        self.outcomes: dict[str, list[Any]] = {}
        self.entries: list[Entry] = []
        self.energy = RunEnergy()
        self._power: list[tuple[float, float]] = []

    def run(self, drain_seconds: float) -> bool:
        """Starts the system, measures, stops it. Returns whether it came to its end; False: interrupted.

        Raises CommandError when the system failed; its logs are kept then.
        """
        with _scratch_directory(self._console) as data:
            zoo_file = data.root / "zoo.yaml"
            write_zoo(self._zoo, zoo_file)
            specs = plan_system(self._zoo, zoo_file, data, self._zoo.router_addresses, drain_seconds)
            display = SystemDisplay(self._console, data)
            supervisor = Supervisor(specs, data, drain_seconds, display.on_change)
            return asyncio.run(self._run(supervisor, display, data))

    async def _run(self, supervisor: Supervisor, display: SystemDisplay, data: DataDirectory) -> bool:
        display.begin(supervisor)

        async def work() -> None:
            display.end()
            await self._measure(data)

        try:
            return await run_system(supervisor, work)
        finally:
            display.end()

    async def _measure(self, data: DataDirectory) -> None:
        following = asyncio.create_task(follow_log(data.redis_url, self._zoo.name, self._take))
        watching = asyncio.create_task(follow_power(self._zoo.energy.address, self._take_power))
        measuring = asyncio.create_task(self._both_runs())
        tasks = [following, watching, measuring]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await cancel(tasks)

    def _take(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._log.add(entry)

    def _take_power(self, wall_seconds: float, watts: float) -> None:
        self._power.append((wall_seconds, watts))

    def _run_energy(self, kinds: Mapping[str, str]) -> RunEnergy:
        began = self._log.began_seconds
        power = [PowerPoint(wall_seconds - began, watts) for wall_seconds, watts in self._power]
        return RunEnergy(self._log.spent(kinds), power)

    async def _both_runs(self) -> None:
        zoo, log, view = self._zoo, self._log, self._view
        idle_watts = _idle_watts(zoo)
        with view.stage("routed", len(self._prompts), routed=True):
            run = await routed_run(zoo, self._prompts, log, view.advance)
        kinds = {request_id: prompt.kind for request_id, prompt in run.prompts.items()}
        requests, self.energy = log.routed(kinds), self._run_energy(kinds)
        with view.stage("baselines", len(self._prompts) * len(idle_watts), routed=False):
            baselines = await baseline_run(zoo, run.prompts, log, view.advance)
        self.outcomes = outcome_columns(run.prompts, baselines)
        self.summary = summarize(
            requests,
            baselines,
            min_satisfaction=zoo.sla_classes[0].min_satisfaction,
            idle_watts=idle_watts,
            duration_seconds=run.duration_seconds,
            seed=self._seed,
        )


def _idle_watts(zoo: Zoo) -> dict[str, float]:
    """Power of each model's loaded but idle workers, W."""
    served = [worker.model for worker in zoo.workers]
    return {model: served.count(model) * zoo.energy.idle_watts_per_worker for model in served}


@contextmanager
def _scratch_directory(console: Console) -> Iterator[DataDirectory]:
    """A data directory that is deleted at the end, unless the block fails."""
    folder = Path(tempfile.mkdtemp(prefix="messplus-demo-"))
    try:
        with opened(folder, fresh=False) as data:
            yield data
    except Exception:
        console.print(f"The logs of the failed run are kept in {folder / 'logs'}", highlight=False)
        raise
    shutil.rmtree(folder)
