"""Sends spans to an OTLP endpoint, in batches and in the background."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from services.common.outages import OutageLog
from services.common.spans import Attribute, Span, parse_traceparent

MAX_WAITING_SPANS = 8192
MAX_BATCH_SPANS = 512
BATCH_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0
_KNOWN_VALUES = 4096
_log = logging.getLogger(__name__)


class SpanExporter:
    """Keeps spans until they are sent; beyond a bound new ones are dropped, so that memory stays bounded.

    Args:
        channel: to the endpoint; closed at the end.
        resource: what the spans are of.
        scope: name of the instrumentation.
        headers: metadata of every export.

    """

    def __init__(
        self,
        channel: grpc.Channel,
        resource: dict[str, str],
        scope: str,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._channel, self._headers = channel, tuple(headers)
        self._stub = trace_service_pb2_grpc.TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        self._resource = resource_pb2.Resource(attributes=[_key_value(*each) for each in resource.items()])
        self._scope = common_pb2.InstrumentationScope(name=scope)
        self._waiting: deque[Span] = deque()
        self._stopping = threading.Event()
        self._outage = OutageLog(_log, "the OTLP endpoint", "spans are dropped; serving goes on")
        self.dropped_spans = 0
        self._thread = threading.Thread(target=self._run, name="span-exporter", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """See SpanSink."""
        if len(self._waiting) < MAX_WAITING_SPANS:
            self._waiting.append(span)
        else:
            self.dropped_spans += 1

    def close(self) -> None:
        """Sends what waits, if the endpoint takes it, and ends."""
        self._stopping.set()
        self._thread.join(2 * TIMEOUT_SECONDS)
        self._channel.close()

    def _run(self) -> None:
        while not self._stopping.wait(BATCH_SECONDS):
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        for _ in range(0, len(self._waiting), MAX_BATCH_SPANS):
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH_SPANS, len(self._waiting)))]
            try:
                self._stub.Export(self._request(batch), timeout=TIMEOUT_SECONDS, metadata=self._headers)
            except grpc.RpcError:
                self.dropped_spans += len(batch)
                self._outage.failed()
            else:
                self._outage.worked()

    def _request(self, spans: Sequence[Span]) -> trace_service_pb2.ExportTraceServiceRequest:
        scope = trace_pb2.ScopeSpans(scope=self._scope, spans=map(encode_span, spans))
        group = trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[scope])
        return trace_service_pb2.ExportTraceServiceRequest(resource_spans=[group])


def encode_span(span: Span) -> trace_pb2.Span:
    """A span as OTLP has it."""
    message = trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=span.kind,  # type: ignore[arg-type]
        start_time_unix_nano=span.start_nanoseconds,
        end_time_unix_nano=span.end_nanoseconds,
        attributes=[_key_value(key, value) for key, value in span.attributes.items()],
    )
    if span.error_type:
        message.attributes.append(_key_value("error.type", span.error_type))
        message.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    for link in span.links:
        if (context := parse_traceparent(link)) is not None:
            message.links.add(trace_id=bytes.fromhex(context[0]), span_id=bytes.fromhex(context[1]))
    return message


@lru_cache(_KNOWN_VALUES, typed=True)
def _key_value(key: str, value: Attribute) -> common_pb2.KeyValue:
    """Most attributes come again and again."""
    if isinstance(value, bool):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(bool_value=value))
    if isinstance(value, int):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(int_value=value))
    if isinstance(value, float):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(double_value=value))
    return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value))
