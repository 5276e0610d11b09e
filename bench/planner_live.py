"""SmolLM2 profiled and swept here: what was not profiled is predicted, and a sweep repeats itself."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.report import Row
from cli.measure.joules import JouleReader
from cli.measure.models import started_model
from cli.measure.profiling import Budget, Profiling
from cli.measure.prompts import Prompts
from cli.measure.temporary import Places, run_temporary, temporary_zoo
from cli.measure.timed_file import Timed, TimedFile
from cli.measure.worker_endpoint import WorkerEndpoint
from cli.options import chosen_zoo
from cli.pareto.live import SweepOptions, measured_sweep
from cli.progress import progress
from planner.pareto.frontier import has_energy, objectives, surely_beats
from planner.pareto.rules import Limits
from planner.pareto.study import Experiment, run_study
from planner.runtime.fitting import Measurement, fit_profile
from planner.runtime.grid import Grid
from planner.runtime.profile import Linear, predicted

MODEL = "smollm2-135m"
PROFILED = Grid((32, 96, 256, 640), (1, 16, 64, 128), 3)
HELD_OUT = (Grid((48, 400), (24, 100), 3), Grid((64, 160, 500), (8, 40, 90), 3))
"""Sizes in between, each length its own."""
BUDGET = Budget(requests=1000, seconds=900.0, warm_up=2)
SWEEP = SweepOptions("1,2,4", "1,2", (), None, 5, 3.0, 8.0, 900.0)


def live_rows(folder: Path, console: Console) -> list[Row]:
    return [*profile_rows(folder, console), *sweep_rows(folder, console)]


def profile_rows(folder: Path, console: Console) -> list[Row]:
    """What the profile says of the sizes that were held out."""
    profiled, *others = _measured(folder, console)
    measurements = [timed.measurement for timed in profiled.timed]
    fitted = fit_profile(MODEL, measurements, "live")
    held_out = [timed for file in others for timed in file.timed]
    assert fitted.joules is not None
    points, sizes = (len({timed.cell for timed in found}) for found in (profiled.timed, held_out))
    rows = [Row("live profile: profiled points", points, "", "<=", 24)]
    denoised = fit_profile(MODEL, measurements, "live", denoised=True).seconds
    for name, what, quantity, of_repeats in (
        ("seconds", "seconds", fitted.seconds, statistics.median),
        ("seconds, denoised", "seconds", denoised, min),
        ("joules", "joules", fitted.joules, statistics.median),
    ):
        error = 100 * statistics.median(errors(quantity, held_out, what, of_repeats))
        label = f"live profile, {sizes} sizes held out, {name}: median error"
        rows.append(Row(label, error, "%", "<=", 10))
    return rows


def _measured(folder: Path, console: Console) -> list[TimedFile]:
    """The profiled sizes and those held out, one file per grid, measured where they are not there yet."""
    zoo = chosen_zoo(None)[1]
    settings = started_model(MODEL, zoo, "bench").model_copy(update={"max_batch_size": 1})
    grids = (PROFILED, *HELD_OUT)
    files = [TimedFile(folder / f"timed-{i}.csv", MODEL, with_joules=True) for i in range(len(grids))]

    async def work(places: Places) -> None:
        worker, joules = WorkerEndpoint(places.workers[0]), JouleReader(places.energy)
        left = sum(grid.requests - len(file.timed) for file, grid in zip(files, grids, strict=True))
        with progress(console, "profiled and held-out sizes", left) as advance:
            # By turns: what else the machine does meanwhile is then the same for both.
            for repeats in range(1, PROFILED.repeats + 1):
                for file, grid in zip(files, grids, strict=True):
                    profiling = Profiling(worker, joules, file, Prompts(_seed(files)))
                    await profiling.run(replace(grid, repeats=repeats), BUDGET, advance)
        await worker.close()
        await joules.close()

    if any(len(file.timed) < grid.requests for file, grid in zip(files, grids, strict=True)):
        run_temporary(temporary_zoo(settings, zoo.energy, 1), work, console)
    return files


def _seed(files: list[TimedFile]) -> int:
    """Another one for every round, also of a run that goes on: no prompt comes twice."""
    return sum(len(file.timed) for file in files)


def errors(
    quantity: Linear, timed: list[Timed], what: str, of_repeats: Callable[[list[float]], float]
) -> list[float]:
    """|predicted / measured - 1| of every held-out size, `of_repeats` of its repeats."""
    cells: dict[tuple[int, int], list[Measurement]] = {}
    for found in timed:
        cells.setdefault(found.cell, []).append(found.measurement)
    return [
        abs(
            statistics.median(predicted(quantity, m.prompt_tokens, m.output_tokens) for m in repeats)
            / of_repeats([getattr(m, what) for m in repeats])
            - 1
        )
        for repeats in cells.values()
    ]


def sweep_rows(folder: Path, console: Console) -> list[Row]:
    """Two whole sweeps, one after the other."""
    found, rows = [], []
    for number in (1, 2):
        seconds, experiment = _sweep(folder / f"sweep-{number}.csv", console)
        found.append(experiment)
        rows.append(
            Row(
                f"live sweep {number}, {len(experiment.points)} configurations x {SWEEP.repeats}",
                seconds / 60,
                "min",
                "<",
                10,
            )
        )
    beaten = sum(_beaten(one, other) for one, other in (found, found[::-1]))
    rows.append(Row("configurations on one frontier, surely beaten in the other sweep", beaten, "", "==", 0))
    agree, pairs = _agreeing(*found)
    return [
        *rows,
        Row("configurations on one frontier alone", len(_names(found[0]) ^ _names(found[1])), ""),
        Row(f"of {pairs} estimates, inside the interval of the other sweep's", agree, ""),
    ]


def _sweep(file: Path, console: Console) -> tuple[float, Experiment]:
    """Seconds that it took and what it shows; a sweep that is there already is not measured again."""
    took = file.with_suffix(".json")
    began = time.monotonic()
    sweep = measured_sweep(SWEEP.plan(MODEL, chosen_zoo(None)[1]), file, console)
    if not took.exists():
        took.write_text(json.dumps({"seconds": time.monotonic() - began}))
    return float(json.loads(took.read_text())["seconds"]), run_study(sweep, Limits()).experiments[0]


def _beaten(one: Experiment, other: Experiment) -> int:
    """Configurations on one frontier that in the other sweep another one surely beats.

    Each sweep is judged by its own points: the machine may be slower in one of the two hours, for all alike.
    """
    energy = has_energy(other.points)
    on_frontier = {point.configuration for point in one.frontier}
    again = [point for point in other.points if point.configuration in on_frontier]
    return sum(
        any(
            surely_beats(objectives(rival, with_energy=energy), objectives(point, with_energy=energy))
            for rival in other.points
        )
        for point in again
    )


def _names(experiment: Experiment) -> set[str]:
    return {point.configuration.name for point in experiment.frontier}


def _agreeing(one: Experiment, other: Experiment) -> tuple[int, int]:
    """How many estimates of the same configuration differ by no more than the interval of the difference."""
    again = {point.configuration: point for point in other.points}
    pairs = [
        pair
        for point in one.points
        for pair in zip(
            objectives(point, with_energy=True),
            objectives(again[point.configuration], with_energy=True),
            strict=True,
        )
    ]
    return sum(not first.differs(second) for first, second in pairs), len(pairs)
