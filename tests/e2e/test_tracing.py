"""One trace from the client's call to the learner's fold, over gRPC and through the log."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from cli.local.ports import free_addresses
from services.core.events import EnergyAttributed, Label
from tests.e2e.local_system import ECHO, Reply, request, running, wait_for, zoo_data

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE_IDS = (TRACE_ID, "0af7651916cd43dd8448eb211c80319c")
UNSAMPLED_ID = "11111111111111111111111111111111"
CLIENT_SPAN = "00f067aa0ba902b7"
SECRET = "lighthouse"


@dataclass(frozen=True)
class Seen:
    """A span as a collector gets it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]


class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """A real OTLP receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.metrics: dict[str, set[str]] = defaultdict(set)
        self.raw: list[bytes] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, batch, context):  # noqa: N802 - both services name their RPC so
        self.raw.append(batch.SerializeToString())
        if isinstance(batch, metrics_service_pb2.ExportMetricsServiceRequest):
            for group in batch.resource_metrics:
                names = {metric.name for scope in group.scope_metrics for metric in scope.metrics}
                self.metrics[service_of(group)] |= names
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for group in batch.resource_spans:
            self.spans += [
                seen(service_of(group), span) for scope in group.scope_spans for span in scope.spans
            ]
        return trace_service_pb2.ExportTraceServiceResponse()


def service_of(group) -> str:
    names = [each.value.string_value for each in group.resource.attributes if each.key == "service.name"]
    return names[0].removeprefix("messplus-")


def seen(service: str, span) -> Seen:
    links = tuple(link.trace_id.hex() for link in span.links)
    return Seen(service, span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), links)


@pytest.fixture
def collector() -> Iterator[Collector]:
    receiver = Collector()
    yield receiver
    receiver.server.stop(None)


GENERATE = "messplus.router.v1.RouterService/Generate"
EDGES = {
    ("client", f"router {GENERATE}"),
    (f"router {GENERATE}", "router messplus.decide"),
    (f"router {GENERATE}", "router generate echo"),
    ("router generate echo", "worker messplus.worker.v1.WorkerService/Generate"),
    ("worker messplus.worker.v1.WorkerService/Generate", "worker chat echo"),
    ("worker chat echo", "energy attribute energy"),
    (f"router {GENERATE}", "feedback label"),
}
"""Parent and child: what must be seen of a request that is answered, measured and labelled."""
SIGNALS = {
    "router": {
        "rpc.server.call.duration",
        "messplus.router.requests",
        "messplus.router.generations",
        "messplus.router.generation.duration",
        "messplus.router.time_to_first_token",
        "messplus.router.commit.batch_size",
        "messplus.router.snapshot.valid",
    },
    "worker": {
        "rpc.server.call.duration",
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
    },
    "feedback": {
        "messplus.labels",
        "messplus.learner.labels",
        "messplus.learner.lag",
        "messplus.learner.checkpoint.duration",
    },
    "energy": {
        "hw.energy",
        "hw.power",
        "hw.status",
        "messplus.energy.attributed",
        "messplus.energy.unattributed",
        "messplus.request.energy",
    },
}
"""Metrics that a service must emit once it has served a request."""


def edges(spans: list[Seen]) -> set[tuple[str, str]]:
    names = {span.span_id: f"{span.service} {span.name}" for span in spans} | {CLIENT_SPAN: "client"}
    return {(names.get(span.parent_id, "nobody"), names[span.span_id]) for span in spans}


def test_one_trace_shows_request_decision_worker_energy_and_label_over_two_routers(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSPLUS_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    slow_echo = ECHO | {"echo_tokens_per_second": 50.0}
    zoo = zoo_data([slow_echo], {"name": "messplus-2025"}, router_addresses=free_addresses(2))
    with running(tmp_path, zoo, "--routers", "2") as system:
        prompt = request(f"Say the word {SECRET} " * 4, SECRET)
        for address, trace_id in zip(system.zoo.router_addresses, TRACE_IDS, strict=True):
            metadata = (("traceparent", f"00-{trace_id}-{CLIENT_SPAN}-01"),)
            Reply(list(system.router(address).Generate(prompt, timeout=60, metadata=metadata)))
        unsampled = (("traceparent", f"00-{UNSAMPLED_ID}-{CLIENT_SPAN}-00"),)
        Reply(list(system.router().Generate(prompt, timeout=60, metadata=unsampled)))
        for kind in (Label, EnergyAttributed):
            wait_for(
                lambda kind=kind: len([e for e in system.events() if isinstance(e, kind)]) == 3,
                20,
                f"{kind.__name__} of every request",
            )
        assert {event.traceparent[3:35] for event in system.events()} == {*TRACE_IDS, UNSAMPLED_ID}
        system.stop()
    for trace_id in TRACE_IDS:
        found = edges([span for span in collector.spans if span.trace_id == trace_id])
        assert found >= EDGES, EDGES - found
        extra = {child.split(maxsplit=1)[1].split()[0] for _, child in found - EDGES}
        assert extra <= {"send"}, "spans that no edge of the contract names"
        assert not any(parent == "nobody" for parent, _ in found), "a span lost its parent"
        folds = [span for span in collector.spans if span.name == "fold" and trace_id in span.links]
        assert folds, "no fold batch links to the request"
    assert not any(span.trace_id == UNSAMPLED_ID for span in collector.spans), "a parent's choice was ignored"
    for service, names in SIGNALS.items():
        assert names <= collector.metrics[service], (service, names - collector.metrics[service])
    assert not any(SECRET.encode() in batch for batch in collector.raw), "a prompt went into telemetry"
