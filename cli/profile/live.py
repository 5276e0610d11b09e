"""`messplus profile` of something that runs: a worker, an endpoint, or a worker that is started for it."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console

from cli.entry import EXIT_INTERRUPTED
from cli.measure.endpoint import Endpoint
from cli.measure.joules import JouleReader
from cli.measure.models import started_model
from cli.measure.openai_endpoint import OpenAiEndpoint
from cli.measure.profiling import Budget, Profiling
from cli.measure.prompts import PROBE_REQUESTS, Prompts
from cli.measure.temporary import Places, run_temporary, temporary_zoo
from cli.measure.timed_file import TimedFile
from cli.measure.worker_endpoint import WorkerEndpoint
from cli.progress import progress
from cli.written_files import say
from planner.runtime.fitting import fit_profile
from planner.runtime.grid import Grid
from planner.runtime.profile import Profile
from services.common.zoo import Zoo


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What to measure and how.

    Attributes:
        grid: sizes of requests.
        budget: what it may cost.
        save: file of timed requests, resumed if it is there; None: a temporary one.
        denoised: the least of all trials counts.
        name: of the profile; empty: the model's.

    """

    grid: Grid
    budget: Budget
    save: Path | None
    denoised: bool
    name: str


class LiveProfile:
    """Live profiles, one model after the other."""

    def __init__(self, plan: LivePlan, console: Console) -> None:
        self._plan, self._console = plan, console
        self._profiles: list[Profile] = []

    def of_models(self, models: Sequence[str], zoo: Zoo) -> list[Profile]:
        """Of workers that run for the measurement alone, one request at a time, joules included.

        Raises ConfigError, and CommandError where a worker does not start or fails.
        """
        for model in models:
            settings = started_model(model, zoo, "profile").model_copy(update={"max_batch_size": 1})
            staged = temporary_zoo(settings, zoo.energy, 1)

            async def work(places: Places, model: str = model) -> None:
                worker = WorkerEndpoint(places.workers[0])
                await self._measured(worker, self._plan.name or model, JouleReader(places.energy))

            if not run_temporary(staged, work, self._console):
                raise typer.Exit(EXIT_INTERRUPTED)
        return self._profiles

    def of_worker(self, address: str, energy: str | None) -> list[Profile]:
        """Of the worker at an address; its joules from the energy service at another, if there is one."""

        async def work() -> None:
            worker = WorkerEndpoint(address)
            info = await worker.info()
            # Each slot keeps the start of its last prompt: all have seen one before anything is measured.
            budget = self._plan.budget
            slots = min(info.max_batch_size, budget.requests)
            self._plan = replace(self._plan, budget=replace(budget, warm_up=max(budget.warm_up, slots)))
            joules = JouleReader(energy) if energy else None
            await self._measured(worker, self._plan.name or info.model_id, joules)

        asyncio.run(work())
        return self._profiles

    def of_endpoint(self, base_url: str, model: str, api_key: str) -> list[Profile]:
        """Of one model of an OpenAI-compatible endpoint."""

        async def work() -> None:
            endpoint = OpenAiEndpoint(base_url, model, api_key)
            await self._measured(endpoint, self._plan.name or model, None)

        asyncio.run(work())
        return self._profiles

    async def _measured(self, endpoint: Endpoint, name: str, joules: JouleReader | None) -> None:
        """Measures, fits, and keeps the profile; a temporary file of it goes once it is fitted."""
        path = self._plan.save or _temporary_file(name)
        kept = TimedFile(path, name, with_joules=joules is not None)
        try:
            await self._fill(endpoint, name, joules, kept)
        finally:
            if self._plan.save is None and not kept.timed:
                path.unlink()
            await endpoint.close()
            if joules is not None:
                await joules.close()
        rows = [timed.measurement for timed in kept.timed]
        self._profiles.append(fit_profile(name, rows, str(path), denoised=self._plan.denoised))
        if self._plan.save is None:
            path.unlink()

    async def _fill(self, endpoint: Endpoint, name: str, joules: JouleReader | None, kept: TimedFile) -> None:
        grid, budget = self._plan.grid, self._plan.budget
        say(self._console, cost_text(name, grid, budget, len(kept.timed)))
        left = min(max(0, grid.requests - len(kept.timed)), budget.requests)
        profiling = Profiling(endpoint, joules, kept, Prompts(seed=len(kept.timed)))
        with progress(self._console, name, left) as advance:
            complete = await profiling.run(grid, budget, advance)
        if not complete:
            say(
                self._console,
                f"{name}: stopped at the limit with {len(kept.timed)} of {grid.requests} requests; "
                "--max-requests, --max-seconds and --save allow more.",
            )


def cost_text(name: str, grid: Grid, budget: Budget, measured: int) -> str:
    """What a profile will send at most, before it is sent."""
    prompts, outputs = grid.tokens
    text = (
        f"{name}: {len(grid.cells)} sizes x {grid.repeats} repeats = {grid.requests} requests, "
        f"{prompts:,} prompt and {outputs:,} output tokens; at most {min(budget.requests, grid.requests)} "
        f"of them and {budget.warm_up + PROBE_REQUESTS} to warm up and to count tokens, for at most "
        f"{budget.seconds:g} s."
    )
    return f"{text} {measured} are measured already." if measured else text


def _temporary_file(name: str) -> Path:
    handle, path = tempfile.mkstemp(prefix=f"messplus-profile-{name.replace('/', '-')}-", suffix=".csv")
    with open(handle, "wb"):
        return Path(path)
