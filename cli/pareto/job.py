"""What `messplus pareto` does once its options are checked."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cli.failure import config_error
from cli.pareto.report import write_report
from cli.pareto.tables import GAIN_HEADINGS, RULE_HEADINGS, gain_rows, point_table, rule_rows
from cli.tables import texts_table
from cli.written_files import say_written, write_asked
from planner.pareto.rules import Limits
from planner.pareto.sources import Sweep
from planner.pareto.study import Study, document, run_study


def studied(sweep: Sweep, limits: Limits, models: Sequence[str], groups: Sequence[str]) -> Study:
    """The study of the chosen part of a sweep. Raises ConfigError."""
    _check_known("--model", models, {run.configuration.model for run in sweep.runs})
    _check_known("--group", groups, {run.configuration.group for run in sweep.runs})
    study = run_study(sweep, limits, models, groups)
    if not study.experiments:
        raise config_error("pareto", "--model, --group", ", ".join((*models, *groups)), _together(sweep))
    return study


def _check_known(option: str, asked: Sequence[str], known: set[str]) -> None:
    for name in asked:
        if name not in known:
            named = ", ".join(sorted(known - {""}))
            raise config_error("pareto", option, name, f"allowed: {named}" if named else "the sweep has none")


def _together(sweep: Sweep) -> str:
    pairs = sorted({(run.configuration.model, run.configuration.group) for run in sweep.runs})
    return "no such pair; measured: " + ", ".join(f"{model} in {group}" for model, group in pairs)


def show(study: Study, json_file: Path | None, report: Path | None, console: Console) -> None:
    """Prints the tables and writes the files that were asked for."""
    write_asked(json_file, lambda: document(study), report, lambda path: write_report(path, study))
    for experiment in study.experiments:
        console.print(point_table(experiment))
        if experiment.gains:
            console.print(texts_table("Replication", GAIN_HEADINGS, gain_rows(experiment)))
        for note in experiment.notes:
            console.print(note, highlight=False, markup=False)
    console.print(texts_table("What to set", RULE_HEADINGS, rule_rows(study)))
    for note in study.notes:
        console.print(note, highlight=False, markup=False)
    say_written(console, json_file, report)
