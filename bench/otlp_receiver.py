"""An OTLP receiver that counts spans. Run with a port; prints the count when it is ended."""

import signal
import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any, TypeVar

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes everything; `take` decides what is kept of a span."""

    def __init__(self) -> None:
        self.spans = 0

    def take(self, service: str, span: Any) -> None:
        """A span of a service, named without its prefix."""

    def Export(self, batch: Any, context: object) -> object:  # noqa: N802 - both services name their RPC so
        if isinstance(batch, metrics_service_pb2.ExportMetricsServiceRequest):
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for group in batch.resource_spans:
            names = {each.key: each.value.string_value for each in group.resource.attributes}
            service = names["service.name"].removeprefix("messplus-")
            for span in (span for scope in group.scope_spans for span in scope.spans):
                self.spans += 1
                self.take(service, span)
        return trace_service_pb2.ExportTraceServiceResponse()


ReceiverT = TypeVar("ReceiverT", bound=Receiver)


def serving(port: int, receiver: ReceiverT) -> Iterator[ReceiverT]:
    """Yields the receiver once it serves, and stops serving afterwards."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(receiver, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield receiver
    server.stop(None).wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    for found in serving(int(sys.argv[1]), Receiver()):
        signal.sigwait([signal.SIGTERM])
        print(f"{found.spans} spans")
