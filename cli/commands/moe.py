"""`messplus moe`: which dense or mixture-of-experts model to train for a quality and a serving budget."""

from pathlib import Path
from typing import Annotated

import typer

from cli.checks import check_positive
from cli.console import command_console
from cli.unused import check_unused
from cli.written_files import check_written_files
from planner.moe.laws import DEFAULT_LAW


def moe(
    context: typer.Context,
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs", help="Training runs to fit a law on: params, tokens, experts, loss.", metavar="FILE.csv"
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option("--form", help="Form to fit: yun, joint, chinchilla (dense).", metavar="NAME"),
    ] = "yun",
    law: Annotated[
        str,
        typer.Option(
            "--law", help="Published law: joint-moe, krajewski-64, chinchilla, clark-s-base.", metavar="NAME"
        ),
    ] = DEFAULT_LAW,
    budget: Annotated[
        list[float] | None,
        typer.Option("--budget", help="Training budget; repeat. Default: 1e21, 1e22, 1e23.", metavar="FLOPS"),
    ] = None,
    experts: Annotated[
        list[int] | None,
        typer.Option("--experts", min=1, help="Repeat. Default: 1, 2, 4, 8, 16, 32.", metavar="E"),
    ] = None,
    prompt_tokens: Annotated[float, typer.Option("--prompt-tokens", help="Of a request, on average.")] = 128,
    output_tokens: Annotated[float, typer.Option("--output-tokens", help="Of a request, on average.")] = 512,
    gpu_memory: Annotated[float, typer.Option("--gpu-memory", help="GB of an accelerator.")] = 80.0,
    gpu_price: Annotated[float, typer.Option("--gpu-price", help="Dollars per accelerator and hour.")] = 2.5,
    latency: Annotated[
        Path | None,
        typer.Option(
            "--latency",
            help="A sweep as of messplus pareto to take latencies from. Default: measurements on an H100.",
            metavar="FILE.csv",
        ),
    ] = None,
    max_loss: Annotated[
        float | None, typer.Option("--max-loss", help="Algorithm 1: the loss that must be reached.")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", help="Algorithm 2: dollars per million output tokens."),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=0, max=10_000, help="Of the bootstrap behind a fit's intervals.")
    ] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write law, choices and findings here.", metavar="OUT.json")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write figures and tables here.", metavar="OUT.html")
    ] = None,
) -> None:
    """Choose a dense or mixture-of-experts model by training budget and serving cost.

    For every budget and number of experts: the model of the least loss, the
    cheapest to serve within a loss (Algorithm 1 of Yun et al. 2024) and the
    best within a serving cost (Algorithm 2). The law is a published one, or
    fitted to training runs of your own.

    Examples:

      messplus moe --budget 1e22

      messplus moe --budget 1e22 --max-loss 2.1 --report moe.html

      messplus moe --runs runs.csv --form joint --json moe.json
    """
    check_positive(
        "moe",
        {
            "--budget": budget,
            "--prompt-tokens": prompt_tokens,
            "--output-tokens": output_tokens,
            "--gpu-memory": gpu_memory,
            "--gpu-price": gpu_price,
            "--max-loss": max_loss,
            "--max-cost": max_cost,
        },
    )
    check_written_files(
        "moe", {"--json": json_file, "--report": report}, [file for file in (runs, latency) if file]
    )
    if runs:
        check_unused(context, ["law"], "a published one, and --runs fits another")
    else:
        check_unused(context, ["form", "resamples", "seed"], "says how to fit --runs, and there are none")
    # Scipy takes half a second to import, which other commands should not pay for.
    from cli.moe.job import Fitting, Options, answer, show

    options = Options(
        law,
        tuple(budget or ()),
        tuple(experts or ()),
        (prompt_tokens, output_tokens),
        gpu_memory,
        gpu_price,
        latency,
        max_loss,
        max_cost,
    )
    console = command_console(markup=False)
    fitting = Fitting(runs, form, resamples, seed) if runs else None
    show(answer(options, fitting, console), json_file, report, console)
