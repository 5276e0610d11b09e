"""An OTLP receiver that counts spans and forgets them. Run with a port; prints the count when it is ended."""

import signal
import sys
from collections.abc import Iterator
from concurrent import futures

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes everything."""

    def __init__(self) -> None:
        self.spans = 0

    def Export(self, batch: object, context: object) -> object:  # noqa: N802 - both services name their RPC so
        if isinstance(batch, metrics_service_pb2.ExportMetricsServiceRequest):
            return metrics_service_pb2.ExportMetricsServiceResponse()
        assert isinstance(batch, trace_service_pb2.ExportTraceServiceRequest)
        self.spans += sum(len(scope.spans) for group in batch.resource_spans for scope in group.scope_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


def serving(port: int) -> Iterator[Receiver]:
    receiver, server = Receiver(), grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(receiver, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield receiver
    server.stop(None).wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    for receiver in serving(int(sys.argv[1])):
        signal.sigwait([signal.SIGTERM])
        print(f"{receiver.spans} spans")
