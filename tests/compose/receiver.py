"""An OTLP receiver in a container: what it gets goes to a file, one JSON object per line.

A span: `{"service", "name", "trace_id", "span_id", "parent_id", "links"}`; a metric: `{"service", "metric"}`.
"""

import json
import os
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path
from signal import SIGTERM, sigwait
from threading import Lock
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

ADDRESS = "0.0.0.0:4317"


class Records:
    """The file. Calls come on several threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()

    def add(self, records: Iterable[dict[str, object]]) -> None:
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        with self._lock, self._path.open("a") as file:
            file.write(text)


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, records: Records) -> None:
        self._records = records

    def Export(self, request: Any, context: object) -> Any:  # noqa: N802 - the RPC's name
        for group in request.resource_spans:
            spans = [span for scope in group.scope_spans for span in scope.spans]
            self._records.add({"service": service_of(group.resource), **plain(span)} for span in spans)
        return trace_service_pb2.ExportTraceServiceResponse()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, records: Records) -> None:
        self._records = records

    def Export(self, request: Any, context: object) -> Any:  # noqa: N802 - the RPC's name
        for group in request.resource_metrics:
            names = [metric.name for scope in group.scope_metrics for metric in scope.metrics]
            self._records.add({"service": service_of(group.resource), "metric": name} for name in names)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def service_of(resource: Any) -> str:
    return next(a.value.string_value for a in resource.attributes if a.key == "service.name")


def plain(span: Any) -> dict[str, object]:
    return {
        "name": span.name,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "links": [link.trace_id.hex() for link in span.links],
    }


def main() -> None:
    records = Records(Path(os.environ["RECEIVER_FILE"]))
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(records), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(records), server)
    server.add_insecure_port(ADDRESS)
    server.start()
    sigwait({SIGTERM})
    server.stop(1).wait()


if __name__ == "__main__":
    main()
