"""`python -m bench.trace_picture [FILE.png]`: the trace of one real request, drawn from a collector's spans.

Runs `messplus up` with a real model and a collector of its own, asks one question that brings a right answer
to compare with, and waits until the request is answered, measured and labelled.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc

from bench.otlp_receiver import Receiver, serving
from cli.demo.theme import LIGHT, Theme
from cli.local.ports import free_addresses, free_ports
from cli.picture import PALETTE, drawn
from services.common import telemetry
from services.common.span_exporter import SpanExporter
from services.common.spans import SpanKind

QUESTION, ANSWER = "What is the capital of France? Answer with one word.", "Paris"
WAIT_SECONDS = 60.0
_SERVICES = ("client", "router", "worker", "energy", "feedback")
_MILLISECOND = 1e6
_THINNEST = 0.004
"""Of the width: a shorter span would not be seen."""


@dataclass(frozen=True)
class Seen:
    """A span as the collector got it."""

    service: str
    name: str
    span_id: str
    parent_id: str
    start_nanoseconds: int
    end_nanoseconds: int


class Collector(Receiver):
    """Keeps the spans."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: dict[str, list[Seen]] = {}

    def take(self, service: str, span: Any) -> None:
        seen = Seen(
            service, span.name, span.span_id.hex(), span.parent_span_id.hex(),
            span.start_time_unix_nano, span.end_time_unix_nano,
        )  # fmt: skip
        self.traces.setdefault(span.trace_id.hex(), []).append(seen)


def collect(folder: Path) -> list[Seen]:
    """The spans of one request, the client's own first."""
    (port,) = free_ports(1)
    for collector in serving(port, Collector()):
        exporter = SpanExporter(
            grpc.insecure_channel(f"127.0.0.1:{port}"), {"service.name": "messplus-client"}, "messplus"
        )
        telemetry.trace_with(exporter, 1.0)
        with _system(folder, f"http://127.0.0.1:{port}") as router:
            trace_id = _ask(router)
            deadline = time.monotonic() + WAIT_SECONDS
            while not _is_complete(collector.traces.get(trace_id, [])):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"only {len(collector.traces.get(trace_id, []))} spans came")
                time.sleep(0.2)
        exporter.close()
        return in_order(collector.traces[trace_id])
    raise AssertionError("the collector did not serve")


def _is_complete(spans: Sequence[Seen]) -> bool:
    return {"attribute energy", "label", "ask"} <= {span.name for span in spans}


def _ask(router: str) -> str:
    reference = common_pb2.ReferenceAnswer(text=ANSWER, metric="contains")
    request = router_service_pb2.GenerateRequest(
        prompt=common_pb2.Prompt(text=QUESTION),
        sampling=common_pb2.SamplingParameters(max_tokens=24),
        labeling=router_service_pb2.LabelingOptions(reference=reference),
    )
    with grpc.insecure_channel(router) as channel, telemetry.span("ask", SpanKind.CLIENT):
        stub = router_service_pb2_grpc.RouterServiceStub(channel)
        for _ in stub.Generate(request, timeout=WAIT_SECONDS, metadata=telemetry.trace_metadata()):
            pass
        return telemetry.current_traceparent()[3:35]


@contextlib.contextmanager
def _system(folder: Path, endpoint: str) -> Iterator[str]:
    zoo = yaml.safe_load((Path(__file__).parent.parent / "cli" / "default_zoo.yaml").read_text())
    energy, router, feedback, worker = free_addresses(4)
    zoo["models"], zoo["workers"] = zoo["models"][:1], [zoo["workers"][0] | {"address": worker}]
    zoo |= {"energy": zoo["energy"] | {"address": energy}, "router_addresses": [router]}
    zoo |= {"feedback_address": feedback}
    zoo["models"][0].pop("prior")
    zoo.pop("judge", None)
    file = folder / "zoo.yaml"
    file.write_text(yaml.safe_dump(zoo, sort_keys=False))
    messplus = Path(sys.executable).parent / "messplus"
    command = [str(messplus), "up", "--zoo", str(file), "--data-dir", str(folder / "data")]
    environment = {**os.environ, "MESSPLUS_OTLP_ENDPOINT": endpoint}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            lines = deque[str](maxlen=20)
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ready after"):
                    break
            else:
                raise RuntimeError("messplus up did not become ready:\n" + "".join(lines))
            yield router
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def in_order(spans: Sequence[Seen]) -> list[Seen]:
    """Each span before its children, these by their begin."""
    children: dict[str, list[Seen]] = {}
    for span in sorted(spans, key=lambda span: span.start_nanoseconds):
        children.setdefault(span.parent_id, []).append(span)
    known = {span.span_id for span in spans}

    def below(span: Seen) -> list[Seen]:
        return [span, *(each for child in children.get(span.span_id, []) for each in below(child))]

    return [each for span in spans if span.parent_id not in known for each in below(span)]


def draw(figure: Figure, theme: Theme, spans: Sequence[Seen]) -> str:
    """A bar per span; returns the title."""
    axes = figure.add_subplot()
    origin = min(span.start_nanoseconds for span in spans)
    least = (max(span.end_nanoseconds for span in spans) - origin) / _MILLISECOND * _THINNEST
    depths: dict[str, int] = {}
    for row, span in enumerate(spans):
        depths[span.span_id] = depth = depths.get(span.parent_id, -1) + 1
        begin = (span.start_nanoseconds - origin) / _MILLISECOND
        length = (span.end_nanoseconds - span.start_nanoseconds) / _MILLISECOND
        colour = PALETTE[_SERVICES.index(span.service)]
        axes.barh(row, max(length, least), left=begin, height=0.62, color=colour)
        name = span.name.split("/")[-1] if "/" in span.name else span.name.split(" messplus:")[0]
        label = f"{'   ' * depth}{name}"
        axes.text(
            -0.01, row, label, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=9
        )
        axes.text(
            begin + max(length, least), row, f" {length:.1f} ms", va="center", fontsize=8, color=theme.muted
        )
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("time since the client's call (ms)")
    shown = [name for name in _SERVICES if any(span.service == name for span in spans)]
    handles = [Patch(color=PALETTE[_SERVICES.index(name)], label=name) for name in shown]
    axes.legend(
        handles=handles, frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=5
    )
    return "One request, one trace"


def main(arguments: list[str]) -> int:
    file = Path(arguments[0] if arguments else "docs/trace.png")
    with tempfile.TemporaryDirectory(prefix="messplus-trace-") as folder:
        spans = collect(Path(folder))
    for span in spans:
        milliseconds = (span.end_nanoseconds - span.start_nanoseconds) / _MILLISECOND
        print(f"{span.service:10} {span.name:50} {milliseconds:9.2f} ms")
    picture = drawn(lambda figure, theme: draw(figure, theme, spans), LIGHT, 0.8 + 0.33 * len(spans))
    file.write_bytes(picture.png)
    print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
