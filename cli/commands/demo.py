"""`messplus demo`: real prompts over real models, beside every baseline, measured in one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.console import command_console
from cli.demo.energy_table import energy_table
from cli.demo.job import DemoJob
from cli.demo.prompts import generate_prompts
from cli.demo.spent import RunEnergy
from cli.demo.stage import run_settings, staged_zoo
from cli.demo.summary import Summary
from cli.demo.verdict import verdict
from cli.entry import EXIT_INTERRUPTED
from cli.failure import config_error
from cli.local.weights import pull_missing
from cli.options import ZooOption, chosen_zoo
from cli.settings import read_cli_settings

DEFAULT_PROMPTS = 300
DEFAULT_SEED = 0
MAX_PROMPTS = 5000


def demo(
    prompts: Annotated[
        int, typer.Option("--prompts", min=1, max=MAX_PROMPTS, help="How many prompts to route.")
    ] = DEFAULT_PROMPTS,
    min_satisfaction: Annotated[
        float | None, typer.Option("--min-satisfaction", help="The target, in (0, 1). Default: the zoo's.")
    ] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Default: the zoo's policy.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the prompts.")] = DEFAULT_SEED,
    cold: Annotated[bool, typer.Option("--cold", help="Start without the zoo's priors.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Where the report goes.", metavar="DIR")] = Path(
        "demo-report"
    ),
    zoo: ZooOption = None,
) -> None:
    """Route prompts with known answers and compare with every baseline on the same prompts.

    Starts a system of its own on free ports, sends the prompts through the
    router, then has every model answer all of them, and ends with a table,
    figures and one HTML file. Takes about ten minutes on two cores with the
    embedded zoo. An honest loss against a baseline is a success of the demo.

    Examples:

      messplus demo

      messplus demo --prompts 60 --min-satisfaction 0.8

      messplus demo --policy single:smollm2-135m --out /tmp/report
    """
    console = command_console()
    _, configured = chosen_zoo(zoo)
    staged = staged_zoo(configured, min_satisfaction=min_satisfaction, policy=policy, cold=cold)
    _make_folder(out)
    pull_missing(staged, console)
    settings = run_settings(staged, prompts, seed)
    console.print("\n".join(f"{name}: {value}" for name, value in settings.items()), highlight=False)
    job = DemoJob(staged, generate_prompts(prompts, seed), seed, console)
    finished = job.run(read_cli_settings().drain_seconds)
    if not finished or job.summary is None:
        console.print("Interrupted. Nothing is left running.")
        raise typer.Exit(EXIT_INTERRUPTED)
    _show(job.summary, job.energy, settings, out, console)
    _record(job, out, console)


def _record(job: DemoJob, out: Path, console: Console) -> None:
    """What `messplus replay` reads: every model's outcomes, and the event log."""
    from planner.replay.sources.event_log import write_event_log
    from planner.replay.sources.parquet import write_parquet

    write_parquet(out / "outcomes.parquet", job.outcomes)
    write_event_log(out / "events.jsonl", job.entries)
    console.print(
        f"Other policies on the same answers: messplus replay --outcomes {out / 'outcomes.parquet'}",
        highlight=False,
        soft_wrap=True,
    )


def _show(
    summary: Summary, energy: RunEnergy, settings: Mapping[str, str], out: Path, console: Console
) -> None:
    # Matplotlib takes a second to import, which only a finished run should pay for.
    from cli.demo.report import summary_table, write_report

    page = write_report(out, summary, energy, settings)
    console.print(energy_table(energy, summary.models))
    console.print(summary_table(summary))
    for sentence in verdict(summary):
        console.print(sentence, highlight=False, markup=False)
    console.print(f"Started {settings['start']}.", highlight=False)
    console.print(f"Figures (PNG) and the whole report: {page.absolute()}", highlight=False, soft_wrap=True)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".messplus"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise config_error("demo", "--out", out, f"cannot be written: {error.strerror}") from error
