"""`python -m bench.policies`: runs all policies over the development files and writes `docs/evidence.md`.

Needs the files of `../shared/data/outcomes` (see `--data`). Runs that are known are not run again, so that
it can be stopped and called anew; `--minutes` bounds a call, and the page then says what is missing.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.progress import Progress

from bench.policy_cost import measure_costs
from bench.policy_evidence import Evidence
from bench.policy_figures import write_figures
from bench.policy_page import write_page
from bench.policy_runs import Store, all_tasks, run_all
from bench.policy_targets import TARGETS
from bench.run import processor
from planner.replay.sources.parquet import read_parquet
from planner.replay.study import default_targets

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    files = {name: options.data / f"{name}.parquet" for name in options.files}
    files |= {"demo": options.demo} if options.demo else {}
    if missing := [str(path) for path in files.values() if not path.exists()]:
        print(f"missing: {', '.join(missing)}; say with --data where the outcomes are")
        return 2
    targets = {name: TARGETS.get(name) or default_targets(read_parquet(path)) for name, path in files.items()}
    tasks = all_tasks(targets)
    store = Store(options.results, files)
    known = sum(store.get(task) is not None for task in tasks)
    with Progress() as bar:
        shown = bar.add_task(f"{len(tasks):,} runs", total=len(tasks), completed=known)
        run_all(files, tasks, store, options.workers, options.minutes, lambda: bar.advance(shown))
    results = store.results(tasks)
    left = len(tasks) - sum(len(runs) for runs in results.values())
    machine = f"{date.today()}, {processor()}, Python {platform.python_version()}"
    evidence = Evidence(files, targets, results, measure_costs(), left, machine)
    write_figures(options.out.with_suffix(""), evidence)
    write_page(options.out, evidence)
    print(f"{options.out}: {len(tasks) - left:,} of {len(tasks):,} runs")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.policies", description="Writes docs/evidence.md.")
    shared = ROOT.parent / "shared" / "data" / "outcomes"
    parser.add_argument("--data", type=Path, default=shared, help="folder of the .parquet files")
    parser.add_argument("--files", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--demo", type=Path, help="outcomes.parquet of a `messplus demo`, if there is one")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=60.0, help="no run starts after this time")
    parser.add_argument("--results", type=Path, default=ROOT / ".messplus" / "policy-runs.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "evidence.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
