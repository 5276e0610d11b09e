"""`messplus pareto`: at which batch size, with how many replicas, an accelerator is used best."""

from pathlib import Path
from typing import Annotated

import typer

from cli.checks import check_positive
from cli.console import command_console
from cli.failure import config_error
from cli.threads import one_thread_for_scipy
from cli.written_files import check_written_files


def pareto(
    replay: Annotated[
        Path, typer.Option("--replay", help="A recorded sweep, one row per run.", metavar="FILE.csv")
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this one; repeat. Default: all.", metavar="NAME")
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
    """Find the best batch size and number of replicas in a recorded sweep.

    Shows the points that nothing beats in throughput, latency and joules per
    token (noise makes none), where a larger batch stops paying, and what to
    set under a latency limit and the accelerator's memory.

    FILE.csv has one row per run: model, batch, replicas, prompt_tokens,
    output_tokens, tokens_per_second, ttft_seconds, itl_seconds,
    itl_p50_seconds, itl_p99_seconds, and if known joules_per_token, group and
    variant. The table of vLLMBatchingMemoryGap is read as well.

    Examples:

      messplus pareto --replay sweep.csv --report pareto.html

      messplus pareto --replay sweep.csv --max-itl-ms 40 \\
          --memory-gb 64 --weights-gb 2.6 --kv-kb-per-token 197
    """
    sizes = {"--memory-gb": memory_gb, "--weights-gb": weights_gb, "--kv-kb-per-token": kv_kb_per_token}
    check_positive("pareto", {"--max-itl-ms": max_itl_ms, "--max-ttft-ms": max_ttft_ms, **sizes})
    missing = [option for option, value in sizes.items() if value is None]
    if 0 < len(missing) < len(sizes):
        raise config_error("pareto", ", ".join(missing), "not given", "a memory limit needs all three")
    check_written_files("pareto", {"--json": json_file, "--report": report}, [replay])
    one_thread_for_scipy()
    # Scipy and matplotlib take a second to import, which other commands should not pay for.
    from cli.pareto.job import replayed, show
    from planner.pareto.rules import Limits, Memory

    memory = None
    if memory_gb is not None and weights_gb is not None and kv_kb_per_token is not None:
        memory = Memory(memory_gb * 1e9, weights_gb * 1e9, kv_kb_per_token * 1e3)
    limits = Limits(_seconds(max_itl_ms), _seconds(max_ttft_ms), memory)
    study = replayed(replay, limits, model or (), group or ())
    show(study, json_file, report, command_console())


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
