"""`messplus profile`: how long, how many joules and dollars a request takes with nobody else around."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.checks import check_positive, lengths
from cli.console import command_console
from cli.options import ZooOption
from cli.unused import check_unused
from cli.written_files import check_written_files

_MEASURING = (
    "energy",
    "zoo",
    "prompt_lengths",
    "output_lengths",
    "repeats",
    "warm_up",
    "max_requests",
    "max_seconds",
    "save",
    "name",
)


class Lookup(StrEnum):
    """How the prompt's time is looked up."""

    DEFAULT = "default"
    HELM = "helm"


def profile(
    context: typer.Context,
    from_: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            help="Profiles (.json, HELM's format) or timed requests (.csv); repeat for several.",
            metavar="FILE",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="To measure, by a worker of its own or at --endpoint; with --from: only this one. Repeat.",
            metavar="NAME",
        ),
    ] = None,
    worker: Annotated[
        str | None, typer.Option("--worker", help="Measure the worker that runs here.", metavar="HOST:PORT")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            help="Measure a model of this OpenAI-compatible endpoint; $MESSPLUS_ENDPOINT_API_KEY is its key.",
            metavar="URL",
        ),
    ] = None,
    energy: Annotated[
        str | None,
        typer.Option("--energy", help="Energy service that --worker reports to.", metavar="HOST:PORT"),
    ] = None,
    zoo: ZooOption = None,
    prompt_lengths: Annotated[
        str, typer.Option("--prompt-lengths", help="Prompt tokens to measure at.", metavar="P,P,...")
    ] = "32,64,128,256,512,1024",
    output_lengths: Annotated[
        str, typer.Option("--output-lengths", help="Output tokens to measure at.", metavar="O,O,...")
    ] = "1,32,128",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of every size.")] = 3,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Requests before anything counts.")] = 2,
    max_requests: Annotated[int, typer.Option("--max-requests", min=1, help="Measured at most.")] = 500,
    max_seconds: Annotated[float, typer.Option("--max-seconds", help="Per model; then it stops.")] = 600.0,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            help="Keep timed requests here as they come; go on with it if it is there.",
            metavar="FILE.csv",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="Of the profile, to compare stacks. Default: the model's.")
    ] = "",
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", min=1, help="Of the request.")] = 512,
    output_tokens: Annotated[int, typer.Option("--output-tokens", min=0, help="Of the request.")] = 128,
    mode: Annotated[
        Lookup, typer.Option("--mode", help="default: monotone interpolation; helm: the published lookup.")
    ] = Lookup.DEFAULT,
    denoised: Annotated[
        bool,
        typer.Option(
            "--denoised", help="Timed requests of a shared endpoint: the least of all trials counts."
        ),
    ] = False,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Accelerators that a request occupies.")] = 1,
    gpu_price: Annotated[
        float | None, typer.Option("--gpu-price", help="Dollars per accelerator and hour.")
    ] = None,
    board_watts: Annotated[
        float | None, typer.Option("--board-watts", help="Of one accelerator, where no meter was read.")
    ] = None,
    accuracy: Annotated[
        Path | None,
        typer.Option(
            "--accuracy", help="model,accuracy: draws efficiency against capability.", metavar="FILE.csv"
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write profiles here, as HELM reads.", metavar="OUT.json"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write figures and tables here.", metavar="OUT.html")
    ] = None,
) -> None:
    """Idealized runtime, energy and cost of a request, measured now or from files.

    Without --from, measures one request at a time over a grid of lengths: a
    worker that is started for each --model, one that runs (--worker), or any
    OpenAI-compatible endpoint (--endpoint). Says beforehand what that costs.

    Compares models, or stacks that serve the same model under two names, by
    what one request takes alone on its hardware, and says how far the
    prediction is off prompt lengths that it has not seen.

    A .csv FILE has one row per timed request: model, prompt_tokens,
    output_tokens, seconds, and joules if a meter was read.

    Examples:

      messplus profile --model smollm2-135m --json profile.json

      messplus profile --endpoint http://localhost:8000/v1 --model mine --denoised

      messplus profile --from inference_idealized_runtimes.json

      messplus profile --from timed.csv --board-watts 700 --gpu-price 2.5 \\
          --json profile.json --report profile.html
    """
    check_positive(
        "profile", {"--gpu-price": gpu_price, "--board-watts": board_watts, "--max-seconds": max_seconds}
    )
    read = [*(from_ or ()), *([accuracy] if accuracy else [])]
    check_written_files("profile", {"--json": json_file, "--report": report, "--save": save}, read)
    if from_:
        check_unused(context, _MEASURING, "says how to measure, and --from measures nothing")
    # Scipy and matplotlib take a second to import, which other commands should not pay for.
    from cli.measure.profiling import Budget
    from cli.profile.job import load_accuracy, of_profiles, show
    from cli.profile.live import LivePlan
    from cli.profile.source import Source, profiles_of
    from planner.runtime.grid import Grid
    from planner.runtime.profile import Hardware, Mode
    from planner.runtime.study import run_study

    known = load_accuracy(accuracy) if accuracy else {}
    source = Source(tuple(from_ or ()), tuple(model or ()), worker, endpoint, energy, zoo)
    grid = Grid(
        lengths("profile", "--prompt-lengths", prompt_lengths),
        lengths("profile", "--output-lengths", output_lengths),
        repeats,
    )
    plan = LivePlan(grid, Budget(max_requests, max_seconds, warm_up), save, denoised, name)
    console = command_console(markup=False)
    profiles = profiles_of(source, plan, console)
    if accuracy:
        known = of_profiles(known, profiles, accuracy, console)
    hardware = Hardware(gpus, gpu_price, board_watts)
    study = run_study(profiles, (prompt_tokens, output_tokens), hardware, Mode(mode.value), known)
    show(study, json_file, report, console)
