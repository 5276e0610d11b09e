"""What `messplus moe` does once its options are checked."""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cli.failure import config_error
from cli.moe.report import FINDING_HEADINGS, document, finding_rows, write_report
from cli.moe.tables import (
    OPTIMUM_HEADINGS,
    answer_table,
    extrapolations,
    fit_table,
    optimum_rows,
    unreachable,
)
from cli.progress import progress
from cli.tables import texts_table
from cli.written_files import say_written, write_asked
from planner.moe.architecture import Workload
from planner.moe.findings import evaluate
from planner.moe.fit_starts import FITTED_FORMS
from planner.moe.fitting import Fit, fit_law, grid_size
from planner.moe.latency import h100_latency
from planner.moe.laws import Law, published_laws
from planner.moe.measured_steps import latency_of_sweep
from planner.moe.runs import read_runs
from planner.moe.serving import Machine
from planner.moe.study import DEFAULT_BUDGETS, DEFAULT_EXPERTS, GPU_COUNTS, Question, Study, run_study
from planner.pareto.sources import read_sweep

_GB = 1e9


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options; empty tuples and None stand for its defaults."""

    law: str
    budgets_flops: tuple[float, ...]
    experts: tuple[int, ...]
    tokens: tuple[float, float]
    """Of prompt and output."""
    gpu_memory_gb: float
    gpu_dollars_per_hour: float
    latency: Path | None
    """A serving sweep to take latencies from; None: those of an H100."""
    max_loss: float | None
    max_cost: float | None


@dataclass(frozen=True, slots=True)
class Fitting:
    """Runs to fit a law on, and how."""

    runs: Path
    form: str
    resamples: int
    seed: int


def answer(options: Options, fitting: Fitting | None, console: Console) -> Study:
    """The study that was asked for. Raises ConfigError."""
    fit = None if fitting is None else _fit(fitting, console)
    law = _published(options.law) if fit is None else fit.law
    latency = latency_of_sweep(read_sweep(options.latency)) if options.latency else h100_latency()
    memory_bytes = options.gpu_memory_gb * _GB
    machine = Machine(memory_bytes, options.gpu_dollars_per_hour, GPU_COUNTS, latency)
    question = Question(
        law,
        tuple(sorted(set(options.budgets_flops or DEFAULT_BUDGETS))),
        tuple(sorted(set(options.experts or law.form.experts or DEFAULT_EXPERTS))),
        Workload(*options.tokens),
        machine,
    )
    return run_study(replace(question, max_loss=options.max_loss, max_cost=options.max_cost), fit)


def _published(name: str) -> Law:
    laws = published_laws()
    if name not in laws:
        raise config_error("moe", "--law", name, f"allowed: {', '.join(laws)}; --runs fits one")
    return laws[name]


def _fit(fitting: Fitting, console: Console) -> Fit:
    if fitting.form not in FITTED_FORMS:
        raise config_error("moe", "--form", fitting.form, f"allowed: {', '.join(FITTED_FORMS)}")
    runs, form = read_runs(fitting.runs), FITTED_FORMS[fitting.form]
    with progress(console, "fitting", grid_size(form, runs) + fitting.resamples) as advance:
        return fit_law(runs, form, resamples=fitting.resamples, seed=fitting.seed, on_step=advance)


def show(study: Study, json_file: Path | None, report: Path | None, console: Console) -> None:
    """Prints the tables and writes the files that were asked for."""
    write_asked(json_file, lambda: document(study), report, lambda path: write_report(path, study))
    if study.fit:
        console.print(fit_table(study.fit))
    if optima := optimum_rows(study):
        console.print(texts_table("Optimum of the fitted law", OPTIMUM_HEADINGS, optima))
    for answer in study.answers:
        console.print(answer_table(answer))
    if found := evaluate(study):
        console.print(texts_table("What the paper states", FINDING_HEADINGS, finding_rows(study, found)))
    notes = [line for answer in study.answers for line in unreachable(answer)] + extrapolations(study)
    for note in [*notes, *(study.fit.notes if study.fit else ())]:
        console.print(note, highlight=False, markup=False)
    say_written(console, json_file, report)
