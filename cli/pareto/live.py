"""`messplus pareto` without a recorded sweep: measures one on worker processes of this machine."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console

from cli.checks import lengths
from cli.entry import EXIT_INTERRUPTED
from cli.failure import CommandError, config_error
from cli.measure.models import started_model
from cli.measure.sweep_file import SweepFile
from cli.measure.sweeping import LiveSweep, SweepPlan
from cli.options import chosen_zoo
from cli.progress import progress
from cli.written_files import say
from planner.pareto.sources import Sweep, read_sweep
from planner.runtime.grid import Cell
from services.common.zoo import EnergySettings, Zoo

DEFAULT_LENGTHS = ("64x32",)
_LENGTHS = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
SECONDS_PER_RUN = 8.0
"""What starting and stopping workers adds to a run, roughly."""


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What to sweep, as it was given; see `messplus pareto --help`."""

    batches: str
    replicas: str
    lengths: Sequence[str]
    rate: float | None
    repeats: int
    warm_up_seconds: float
    window_seconds: float
    max_seconds: float

    def plan(self, model: str, zoo: Zoo) -> SweepPlan:
        """The sweep of a model of the zoo or the catalogue. Raises ConfigError."""
        return SweepPlan(
            started_model(model, zoo, "pareto"),
            zoo.energy,
            lengths("pareto", "--batches", self.batches),
            lengths("pareto", "--replicas", self.replicas),
            tuple(_cell(text) for text in self.lengths or DEFAULT_LENGTHS),
            self.repeats,
            self.rate,
            self.warm_up_seconds,
            self.window_seconds,
            self.max_seconds,
        )


def _cell(text: str) -> Cell:
    """Prompt and output tokens of "64x32". Raises ConfigError."""
    found = _LENGTHS.fullmatch(text)
    if found is None or int(found[2]) < 2:
        allowed = "PROMPTxOUTPUT tokens, as 64x32, with 2 output tokens at least"
        raise config_error("pareto", "--lengths", text, allowed)
    return int(found[1]), int(found[2])


def live_sweep(
    options: SweepOptions, models: Sequence[str], zoo: Path | None, save: Path | None, console: Console
) -> Sweep:
    """Measures the one model. Raises ConfigError, CommandError."""
    if len(models) != 1:
        value = ", ".join(models) or "not given"
        raise config_error("pareto", "--model", value, "one model to measure, or --replay with a sweep")
    plan = options.plan(models[0], chosen_zoo(zoo)[1])
    if len(plan.configurations) < 2:
        allowed = "two configurations or more: one has no frontier"
        raise config_error(
            "pareto", "--batches, --replicas", f"{options.batches}, {options.replicas}", allowed
        )
    return measured_sweep(plan, save, console)


def measured_sweep(plan: SweepPlan, save: Path | None, console: Console) -> Sweep:
    """Measures what `save` does not have yet; returns all runs.

    Without `save` a temporary file has them meanwhile; it stays where some are missing. Raises ConfigError,
    and CommandError that names the file where workers fail.
    """
    kept = SweepFile(save or _temporary_file(plan.model.id))
    sweep = LiveSweep(plan, kept, console)
    left = len(sweep.left())
    say(console, cost_text(plan, left, len(kept.runs)))
    try:
        with progress(console, "runs", left) as advance:
            complete = sweep.run(advance)
    except CommandError as error:
        raise CommandError(f"{str(error).rstrip('.')}. {_resumable(kept)}") from error
    if complete is None:
        say(console, f"Interrupted. Nothing is left running. {_resumable(kept)}")
        raise typer.Exit(EXIT_INTERRUPTED)
    if not complete:
        say(console, f"Stopped at --max-seconds, {len(sweep.left())} runs are left. {_resumable(kept)}")
    sweep_read = read_sweep(kept.path)
    if complete and save is None:
        kept.path.unlink()
    place = str(save) if save else f"a live sweep of {plan.model.id}"
    return replace(sweep_read, place=place, notes=(*sweep_read.notes, _joules_text(plan.energy)))


def _joules_text(energy: EnergySettings) -> str:
    if energy.meter == "cpu-process":
        return f"Joules are modelled: CPU-seconds of all workers x {energy.watts_per_core:g} W per core."
    return f"Joules are what all meters of kind {energy.meter} read meanwhile."


def cost_text(plan: SweepPlan, left: int, measured: int) -> str:
    """What a sweep will take, before it begins."""
    minutes = left * (plan.warm_up_seconds + plan.window_seconds + SECONDS_PER_RUN) / 60.0
    load = "one request per slot" if plan.rate is None else f"{plan.rate:g} requests/s"
    text = (
        f"{plan.model.id}: {len(plan.configurations)} configurations x {plan.repeats} repeats = {plan.runs} "
        f"runs of {plan.window_seconds:g} s after {plan.warm_up_seconds:g} s of warm-up, {load}; about "
        f"{minutes:.0f} minutes, no run begins after {plan.max_seconds:g} s."
    )
    return f"{text} {measured} are measured already." if measured else text


def _resumable(kept: SweepFile) -> str:
    return f"{len(kept.runs)} runs are kept in {kept.path}: the same command with --save {kept.path} goes on"


def _temporary_file(model: str) -> Path:
    handle, path = tempfile.mkstemp(prefix=f"messplus-pareto-{model}-", suffix=".csv")
    with open(handle, "wb"):
        return Path(path)
