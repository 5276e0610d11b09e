"""`python -m bench.planner`: every number that the planner must reach, with its target.

What rests on published files needs `--data FOLDER` (HELM's runtimes, a sweep of vLLM runs, recorded outcomes)
and is skipped, with a line that says so, where they are absent. What rests on a live model takes some 20
minutes of two cores: `--live FOLDER` measures SmolLM2 and keeps what it measured there, so that a second call
goes on or only computes.
"""

import argparse
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from rich.console import Console

from bench.planner_files import idealized_rows, pareto_rows, zoo_rows
from bench.planner_laws import law_rows
from bench.planner_live import live_rows
from bench.report import Row, table
from bench.run import processor

ROOT = Path(__file__).resolve().parent.parent
FILES: dict[str, tuple[tuple[str, ...], Callable[..., list[Row]]]] = {
    "idealized runtime": (("runtimes/inference_idealized_runtimes.json",), idealized_rows),
    "pareto": (("serving/opt_h100_batch_replicas.csv",), pareto_rows),
    "plan": (("outcomes/gemma3.dev.parquet", "outcomes/mixed3.dev.parquet"), zoo_rows),
}
"""Part -> the files that it needs and what it makes of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.planner", description="What the planner must reach.")
    parser.add_argument("--data", type=Path, help="folder with runtimes/, serving/ and outcomes/")
    parser.add_argument("--live", type=Path, help="folder of live measurements, made and filled where needed")
    options = parser.parse_args(arguments)
    console = Console(width=120)
    rows: list[Row] = []
    for part, (names, measure) in FILES.items():
        paths = [options.data / name for name in names] if options.data else []
        if paths and all(path.exists() for path in paths):
            rows += measure(*paths)
        else:
            console.print(f"skipped: {part} needs {', '.join(names)} in a folder given by --data")
    rows += law_rows(console)
    if options.live:
        options.live.mkdir(parents=True, exist_ok=True)
        rows += live_rows(options.live, console)
    else:
        console.print("skipped: live profile and sweep take a folder given by --live and some 20 minutes")
    console.print(table(rows))
    print(f"{date.today()}, {processor()}, Python {platform.python_version()}")
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
