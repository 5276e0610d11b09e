"""`messplus plan`: which models to keep, so that an SLA class costs the fewest joules."""

from pathlib import Path
from typing import Annotated

import typer

from cli.checks import check_positive, check_targets, stated
from cli.console import command_console
from cli.replay.loading import load_outcomes
from cli.unused import check_unused
from cli.written_files import check_written_files
from planner.replay.study import default_targets

_MAX_SEEDS = 100


def plan(
    context: typer.Context,
    outcomes: Annotated[
        Path,
        typer.Option(
            "--outcomes", help="What every model made of every request: see messplus replay.", metavar="FILE"
        ),
    ],
    min_satisfaction: Annotated[
        list[float] | None,
        typer.Option(
            "--min-satisfaction",
            help="The SLA target, in (0, 1); repeat. Default: the quarters between the cheapest and "
            "the best model.",
            metavar="A",
        ),
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", help="What all models of the zoo share.", metavar="GB")
    ] = None,
    model_memory: Annotated[
        list[str] | None,
        typer.Option("--model-memory", help="Of every model, where memory is limited.", metavar="MODEL=GB"),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile",
            help="Profiles of messplus profile: their idealized joules replace the file's.",
            metavar="FILE.json",
        ),
    ] = None,
    board_watts: Annotated[
        float | None, typer.Option("--board-watts", help="Of profiles without metered joules.")
    ] = None,
    router_seeds: Annotated[
        int,
        typer.Option(
            "--router-seeds", min=0, max=_MAX_SEEDS, help="Replays the router this often. 0: not at all."
        ),
    ] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write plans and candidates here.", metavar="OUT.json")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write figure and tables here.", metavar="OUT.html")
    ] = None,
) -> None:
    """Choose the models of a zoo from outcomes of your own.

    Of all models in FILE: the ones to keep in memory, and the share of
    requests for each, so that the target is reached for the fewest expected
    joules; and what the router would need instead, from a replay.

    Examples:

      messplus plan --outcomes outcomes.parquet --min-satisfaction 0.6

      messplus plan --outcomes outcomes.parquet --memory-gb 80 \\
          --model-memory small=4 --model-memory medium=18 --model-memory large=140
    """
    targets = tuple(sorted(set(min_satisfaction or ())))
    check_targets("plan", targets)
    check_positive("plan", {"--memory-gb": memory_gb, "--board-watts": board_watts})
    if profile is None:
        check_unused(context, ["board_watts"], "turns times of --profile into joules")
    sizes = stated("plan", "--model-memory", model_memory or (), "GB")
    read = [file for file in (outcomes, profile) if file]
    check_written_files("plan", {"--json": json_file, "--report": report}, read)
    # Scipy and matplotlib take a second to import, which other commands should not pay for.
    from cli.plan.job import Options, make_plan, show

    data = load_outcomes(outcomes, {}, "plan")
    console = command_console(markup=False)
    options = Options(targets or default_targets(data), memory_gb, sizes, profile, board_watts, router_seeds)
    show(make_plan(data, options, console), json_file, report, console)
