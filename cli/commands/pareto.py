"""`messplus pareto`: at which batch size, with how many replicas, an accelerator is used best."""

from pathlib import Path
from typing import Annotated

import typer

from cli.checks import check_positive
from cli.console import command_console
from cli.options import ZooOption, chosen_zoo
from cli.unused import check_unused
from cli.written_files import check_written_files, say

_MEASURING = (
    "batches",
    "replicas",
    "lengths",
    "rate",
    "repeats",
    "warm_up_seconds",
    "window_seconds",
    "max_seconds",
    "save",
)


def pareto(
    context: typer.Context,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay", help="A recorded sweep, one row per run. Default: measures one.", metavar="FILE.csv"
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", help="To measure; with --replay: only this one, repeat, default all.", metavar="NAME"
        ),
    ] = None,
    zoo: ZooOption = None,
    batches: Annotated[
        str, typer.Option("--batches", help="Caps on the requests that a replica runs.", metavar="B,B,...")
    ] = "1,2,4",
    replicas: Annotated[
        str, typer.Option("--replicas", help="Numbers of worker processes.", metavar="R,R,...")
    ] = "1,2",
    lengths: Annotated[
        list[str] | None,
        typer.Option("--lengths", help="Prompt and output tokens; repeat. Default: 64x32.", metavar="PxO"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Requests per second. Default: every slot is kept busy.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of every configuration.")] = 3,
    warm_up_seconds: Annotated[float, typer.Option("--warm-up-seconds", help="Before a run counts.")] = 3.0,
    window_seconds: Annotated[float, typer.Option("--window-seconds", help="Of a run that count.")] = 10.0,
    max_seconds: Annotated[float, typer.Option("--max-seconds", help="No run begins after them.")] = 1800.0,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Keep runs here; go on with it if it is there.", metavar="FILE.csv"),
    ] = None,
    write_zoo: Annotated[
        Path | None,
        typer.Option("--write-zoo", help="Write --zoo with what is recommended here.", metavar="OUT.yaml"),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Only this experiment; repeat. Default: all.", metavar="NAME"),
    ] = None,
    max_itl_ms: Annotated[
        float | None, typer.Option("--max-itl-ms", help="SLO: mean milliseconds between two tokens.")
    ] = None,
    max_ttft_ms: Annotated[
        float | None, typer.Option("--max-ttft-ms", help="SLO: mean milliseconds to the first token.")
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", help="Of the accelerator; needs the next two.")
    ] = None,
    weights_gb: Annotated[float | None, typer.Option("--weights-gb", help="Of one replica.")] = None,
    kv_kb_per_token: Annotated[
        float | None, typer.Option("--kv-kb-per-token", help="Keys and values: 4 h l bytes in bf16.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every point and rule here.", metavar="OUT.json")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write figures and tables here.", metavar="OUT.html")
    ] = None,
) -> None:
    """Find the best batch size and number of replicas, in a sweep that is measured or recorded.

    Without --replay, starts worker processes of --model on this machine for
    every batch cap x replicas x lengths, keeps them busy, and reads the energy
    service beside them. Says beforehand how long that takes.

    Shows the points that nothing beats in throughput, latency and joules per
    token (noise makes none), where a larger batch stops paying, and what to
    set under a latency limit and the accelerator's memory.

    FILE.csv has one row per run: model, batch, replicas, prompt_tokens,
    output_tokens, tokens_per_second, ttft_seconds, itl_seconds,
    itl_p50_seconds, itl_p99_seconds, and if known joules_per_token, group and
    variant. The table of vLLMBatchingMemoryGap is read as well.

    Examples:

      messplus pareto --model smollm2-135m --save sweep.csv --report pareto.html

      messplus pareto --replay sweep.csv --report pareto.html

      messplus pareto --replay sweep.csv --max-itl-ms 40 \\
          --memory-gb 64 --weights-gb 2.6 --kv-kb-per-token 197
    """
    times = {"--max-itl-ms": max_itl_ms, "--max-ttft-ms": max_ttft_ms, "--rate": rate}
    check_positive("pareto", {**times, "--warm-up-seconds": warm_up_seconds})
    check_positive("pareto", {"--window-seconds": window_seconds, "--max-seconds": max_seconds})
    files = {"--json": json_file, "--report": report, "--save": save, "--write-zoo": write_zoo}
    check_written_files("pareto", files, [path for path in (replay, zoo) if path])
    if replay:
        check_unused(context, _MEASURING, "says how to measure, and --replay measures nothing")
    if replay and not write_zoo:
        check_unused(context, ["zoo"], "goes with --write-zoo, or with models to measure")
    # Scipy and matplotlib take a second to import, which other commands should not pay for.
    from cli.pareto.job import show, studied
    from cli.pareto.limits import limits_of
    from cli.pareto.live import SweepOptions, live_sweep
    from cli.pareto.recommended_zoo import write_recommended
    from planner.pareto.sources import read_sweep

    limits = limits_of(max_itl_ms, max_ttft_ms, memory_gb, weights_gb, kv_kb_per_token)
    options = SweepOptions(
        batches, replicas, lengths or (), rate, repeats, warm_up_seconds, window_seconds, max_seconds
    )
    console, models = command_console(markup=False), model or ()
    sweep = read_sweep(replay) if replay else live_sweep(options, models, zoo, save, console)
    study = studied(sweep, limits, models, group or ())
    written = write_recommended(study, chosen_zoo(zoo)[0], write_zoo) if write_zoo else ""
    show(study, json_file, report, console)
    if written:
        say(console, written)
