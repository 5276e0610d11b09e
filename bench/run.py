"""`python -m bench.run [NAME...]`: prints every number with its target.

Names: decide tracing generate feedback relay cancel memory startup. Needs two cores and a C load generator:
`h2load` (Debian package nghttp2-client).
"""

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

from rich.console import Console

from bench import cancel, decide, feedback, generate, resting, tracing, worker_relay
from bench.report import Row, table

BENCHES: dict[str, Callable[[Path], list[Row]]] = {
    "decide": decide.measure,
    "tracing": tracing.measure,
    "generate": generate.measure,
    "feedback": feedback.measure,
    "relay": worker_relay.measure,
    "cancel": cancel.measure,
    "memory": resting.measure_memory,
    "startup": resting.measure_startup,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"unknown benchmark {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
        return 2
    if not shutil.which("h2load"):
        print("h2load is missing: install your system's nghttp2 client (Debian: nghttp2-client)")
        return 2
    rows: list[Row] = []
    for name in names or BENCHES:
        with tempfile.TemporaryDirectory(prefix="messplus-bench-") as folder:
            rows += BENCHES[name](Path(folder))
    Console(width=110).print(table(rows))
    print(f"{date.today()}, {processor()}, Python {platform.python_version()}")
    return 0


def processor() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
