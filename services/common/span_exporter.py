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
from services.common.spans import Attribute, Span, SpanKind, parse_traceparent

MAX_WAITING_SPANS = 8192
MAX_BATCH_SPANS = 512
BATCH_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0
_KNOWN_SPANS = 4096
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
        if self.dropped_spans:
            _log.warning("%d spans were dropped", self.dropped_spans)
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
        request = trace_service_pb2.ExportTraceServiceRequest()
        group = request.resource_spans.add(resource=self._resource)
        scope = group.scope_spans.add(scope=self._scope)
        for span in spans:
            encode_span(span, scope.spans.add())
        return request


def encode_span(span: Span, message: trace_pb2.Span) -> None:
    """Writes a span into an empty message of OTLP."""
    message.CopyFrom(_template(span.name, span.kind, tuple(span.attributes.items())))
    message.trace_id = bytes.fromhex(span.trace_id)
    message.span_id = bytes.fromhex(span.span_id)
    message.parent_span_id = bytes.fromhex(span.parent_id)
    message.start_time_unix_nano = span.start_nanoseconds
    message.end_time_unix_nano = span.end_nanoseconds
    if span.error_type:
        message.attributes.append(_key_value("error.type", span.error_type))
        message.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    for link in span.links:
        if (context := parse_traceparent(link)) is not None:
            message.links.add(trace_id=bytes.fromhex(context[0]), span_id=bytes.fromhex(context[1]))


@lru_cache(_KNOWN_SPANS)
def _template(name: str, kind: SpanKind, attributes: tuple[tuple[str, Attribute], ...]) -> trace_pb2.Span:
    """Spans differ in little but their ids and times: copying the rest takes half the time of writing it."""
    known = [_key_value(key, value) for key, value in attributes]
    return trace_pb2.Span(name=name, kind=kind, attributes=known)  # type: ignore[arg-type]


def _key_value(key: str, value: Attribute) -> common_pb2.KeyValue:
    if isinstance(value, bool):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(bool_value=value))
    if isinstance(value, int):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(int_value=value))
    if isinstance(value, float):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(double_value=value))
    return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value))
