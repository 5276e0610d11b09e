"""`messplus profile`: how long, how many joules and dollars a request takes with nobody else around."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.checks import check_positive
from cli.console import command_console
from cli.threads import one_thread_for_scipy
from cli.written_files import check_written_files


class Lookup(StrEnum):
    """How the prompt's time is looked up."""

    DEFAULT = "default"
    HELM = "helm"


def profile(
    from_: Annotated[
        list[Path],
        typer.Option(
            "--from",
            help="Profiles (.json, HELM's format) or timed requests (.csv); repeat for several.",
            metavar="FILE",
        ),
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this one; repeat. Default: all.", metavar="NAME")
    ] = None,
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
    """Idealized runtime, energy and cost of a request, from profiles or timed requests.

    Compares models, or stacks that serve the same model under two names, by
    what one request takes alone on its hardware, and says how far the
    prediction is off prompt lengths that it has not seen.

    A .csv FILE has one row per timed request: model, prompt_tokens,
    output_tokens, seconds, and joules if a meter was read.

    Examples:

      messplus profile --from inference_idealized_runtimes.json

      messplus profile --from timed.csv --board-watts 700 --gpu-price 2.5 \\
          --json profile.json --report profile.html
    """
    check_positive("profile", {"--gpu-price": gpu_price, "--board-watts": board_watts})
    read = [*from_, *([accuracy] if accuracy else [])]
    check_written_files("profile", {"--json": json_file, "--report": report}, read)
    one_thread_for_scipy()
    # Scipy and matplotlib take a second to import, which other commands should not pay for.
    from cli.profile.job import load_accuracy, load_profiles, show
    from planner.runtime.profile import Hardware, Mode
    from planner.runtime.study import run_study

    profiles = load_profiles(from_, model or (), denoised=denoised)
    hardware = Hardware(gpus, gpu_price, board_watts)
    tokens = (prompt_tokens, output_tokens)
    study = run_study(profiles, tokens, hardware, Mode(mode.value), load_accuracy(accuracy))
    show(study, json_file, report, command_console())
