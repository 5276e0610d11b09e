"""A live sweep: batch caps x replicas x lengths, each run on worker processes of its own."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rich.console import Console

from cli.measure.endpoint import EndpointError
from cli.measure.joules import JouleReader
from cli.measure.load import Demand, Load
from cli.measure.prompts import Prompts, TokenScale, token_scale
from cli.measure.sweep_file import SweepFile
from cli.measure.temporary import Places, run_temporary, temporary_zoo
from cli.measure.worker_endpoint import WorkerEndpoint
from planner.pareto.sweep import Configuration
from planner.pareto.window import Window, run_of
from planner.runtime.grid import Cell
from services.common.server import cancel
from services.common.zoo import EnergySettings, ModelSettings


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What to run.

    Attributes:
        model: what every worker serves.
        energy: how its joules are obtained.
        batches: caps on the requests that one replica runs at once.
        replicas: numbers of worker processes.
        lengths: wanted prompt and output tokens of the requests; each is an experiment of its own.
        repeats: of every configuration.
        rate: arrivals per second; None: a closed loop that keeps every slot busy.
        warm_up_seconds: of load before anything counts.
        window_seconds: of load that counts.
        max_seconds: after which no further run begins.

    """

    model: ModelSettings
    energy: EnergySettings
    batches: tuple[int, ...]
    replicas: tuple[int, ...]
    lengths: tuple[Cell, ...]
    repeats: int
    rate: float | None
    warm_up_seconds: float
    window_seconds: float
    max_seconds: float

    @property
    def configurations(self) -> dict[Configuration, Cell]:
        """Every configuration with its lengths."""
        load = "" if self.rate is None else f" at {self.rate:g}/s"
        return {
            Configuration(self.model.id, f"{prompt}+{output} tokens{load}", batch, replicas): (prompt, output)
            for prompt, output in self.lengths
            for replicas in self.replicas
            for batch in self.batches
        }

    @property
    def runs(self) -> int:
        """How many there are to measure."""
        return len(self.configurations) * self.repeats

    def rounds(self, done: Counter[Configuration]) -> Iterator[Configuration]:
        """Runs still to measure, round by round, each in an order of its own: a slow hour hits all alike."""
        order = random.Random(0)
        for number in range(self.repeats):
            left = [found for found in self.configurations if done[found] <= number]
            order.shuffle(left)
            yield from left


class LiveSweep:
    """Measures what a file does not have yet of a plan."""

    def __init__(self, plan: SweepPlan, kept: SweepFile, console: Console) -> None:
        self._plan, self._kept, self._console = plan, kept, console
        self._prompts = Prompts(seed=len(kept.runs))
        self._scale: TokenScale | None = None

    def left(self) -> Sequence[Configuration]:
        """Runs still to measure, in their order."""
        done = Counter(run.configuration for run in self._kept.runs)
        return list(self._plan.rounds(done))

    def run(self, measured: Callable[[], None]) -> bool | None:
        """Measures; calls `measured` after every run. Returns whether all are measured; None: interrupted.

        Raises CommandError where workers fail; what was measured until then is in the file.
        """
        deadline = time.monotonic() + self._plan.max_seconds
        for configuration in self.left():
            if time.monotonic() > deadline:
                return False
            zoo = temporary_zoo(
                self._plan.model.model_copy(update={"max_batch_size": configuration.batch}),
                self._plan.energy,
                configuration.replicas,
            )

            async def work(places: Places, configuration: Configuration = configuration) -> None:
                await self._measure(configuration, places)

            if not run_temporary(zoo, work, self._console):
                return None
            measured()
        return True

    async def _measure(self, configuration: Configuration, places: Places) -> None:
        async with AsyncExitStack() as stack:
            replicas = [WorkerEndpoint(address) for address in places.workers]
            joules = JouleReader(places.energy)
            for close in (*(replica.close for replica in replicas), joules.close):
                stack.push_async_callback(close)
            self._scale = self._scale or await token_scale(replicas[0], self._prompts)
            prompt_tokens, output_tokens = self._plan.configurations[configuration]
            words = self._scale.words(prompt_tokens)
            demand = Demand(
                lambda: self._prompts.of_words(words), output_tokens, configuration.batch, self._plan.rate
            )
            load = Load(replicas, demand, seed=len(self._kept.runs))
            window = await self._steady(load, joules)
            run = run_of(configuration, load.replies, window)
        if run is None:
            raise EndpointError(
                f"no answer began in {window.seconds:.1f} s of {configuration.name}: "
                "give --window-seconds more, or shorter --lengths"
            )
        self._kept.add(run)

    async def _steady(self, load: Load, joules: JouleReader) -> Window:
        """Runs the load past its warm-up and the window, until its last answer is complete."""
        running = asyncio.create_task(load.run())
        try:
            await self._while_running(running, self._plan.warm_up_seconds)
            before, start = await joules.total(), time.monotonic()
            await self._while_running(running, self._plan.window_seconds)
            after, end = await joules.total(), time.monotonic()
            load.stop()
            await running
        finally:
            await cancel([running])
        return Window(start, end, after - before)

    async def _while_running(self, running: "asyncio.Task[None]", seconds: float) -> None:
        """Lets the load run; raises at once what it raises."""
        await asyncio.wait({running}, timeout=seconds)
        if running.done():
            await running
