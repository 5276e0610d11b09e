"""One trace from the client's call to the learner's fold, over gRPC and through the log."""

from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from services.core.events import EnergyAttributed, Label
from tests.e2e.local_system import ECHO, Reply, request, running, wait_for, zoo_data

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
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
        self.metrics: set[str] = set()
        self.raw: list[bytes] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, batch, context):  # noqa: N802 - both services name their RPC so
        self.raw.append(batch.SerializeToString())
        if isinstance(batch, metrics_service_pb2.ExportMetricsServiceRequest):
            scopes = [scope for group in batch.resource_metrics for scope in group.scope_metrics]
            self.metrics.update(metric.name for scope in scopes for metric in scope.metrics)
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for group in batch.resource_spans:
            service = next(a.value.string_value for a in group.resource.attributes if a.key == "service.name")
            self.spans += [seen(service, span) for scope in group.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def seen(service: str, span) -> Seen:
    links = tuple(link.trace_id.hex() for link in span.links)
    return Seen(service, span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), links)


@pytest.fixture
def collector() -> Iterator[Collector]:
    receiver = Collector()
    yield receiver
    receiver.server.stop(None)


def test_one_trace_shows_request_decision_worker_energy_and_label(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSPLUS_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    slow_echo = ECHO | {"echo_tokens_per_second": 50.0}
    with running(tmp_path, zoo_data([slow_echo], {"name": "messplus-2025"})) as system:
        prompt = request(f"Say the word {SECRET} " * 4, SECRET)
        Reply(list(system.router().Generate(prompt, timeout=60, metadata=(("traceparent", TRACEPARENT),))))
        for kind in (Label, EnergyAttributed):
            wait_for(lambda kind=kind: [e for e in system.events() if isinstance(e, kind)], 20, kind.__name__)
        assert {event.traceparent[3:35] for event in system.events()} == {TRACE_ID}
        system.stop()
    spans = [span for span in collector.spans if span.trace_id == TRACE_ID]
    services = {span.service for span in spans}
    assert services == {"messplus-router", "messplus-worker", "messplus-energy", "messplus-feedback"}
    known = {span.span_id for span in spans} | {"00f067aa0ba902b7"}
    assert {span.parent_id for span in spans} <= known, "a span lost its parent"
    assert any(TRACE_ID in span.links for span in collector.spans), "no fold batch links to the request"
    assert {
        "hw.energy",
        "hw.status",
        "messplus.energy.attributed",
        "messplus.request.energy",
    } <= collector.metrics
    assert not any(SECRET.encode() in batch for batch in collector.raw), "a prompt went into telemetry"
