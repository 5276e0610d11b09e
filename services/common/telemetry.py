"""Traces and metrics: one span per step of a request, its context carried in gRPC metadata and in the log.

Without an OTLP endpoint nothing is recorded and a span costs next to nothing. With one, spans and
metrics leave in the background; a collector that is away never slows or stops serving.
Prompts and answers are never put into telemetry.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import grpc
from opentelemetry import metrics

from services.common.settings import ServiceSettings
from services.common.spans import (
    NO_SPAN,
    Attribute,
    NoSpan,
    Span,
    SpanKind,
    SpanSink,
    current_span,
    new_trace,
    parse_traceparent,
)

INSTRUMENTATION = "messplus"
_NO_ATTRIBUTES: dict[str, Attribute] = {}
_sink: SpanSink | None = None
_sample_ratio = 1.0


def start_telemetry(service: str, settings: ServiceSettings) -> Callable[[], None]:
    """Sends traces and metrics to the OTLP endpoint, if there is one; returns what ends that."""
    if not settings.otlp_endpoint:
        return lambda: None
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    from services.common.span_exporter import SpanExporter

    resource = {"service.name": f"messplus-{service}", "service.instance.id": settings.instance_id}
    headers = parse_headers(settings.otlp_headers)
    insecure = settings.otlp_endpoint.startswith("http://")
    exporter = SpanExporter(_channel(settings.otlp_endpoint), resource, INSTRUMENTATION, headers)
    trace_with(exporter, settings.trace_sample_ratio)
    metric_exporter = OTLPMetricExporter(settings.otlp_endpoint, insecure, headers=tuple(headers))
    meters = MeterProvider(
        resource=Resource.create(dict(resource)),
        metric_readers=[PeriodicExportingMetricReader(metric_exporter)],
        exemplar_filter=AlwaysOffExemplarFilter(),
    )
    metrics.set_meter_provider(meters)

    def stop() -> None:
        exporter.close()
        meters.shutdown()

    return stop


def parse_headers(headers: str) -> list[tuple[str, str]]:
    """Metadata of exports, from "key=value,key=value"."""
    pairs = (each.partition("=") for each in headers.split(",") if each.strip())
    return [(key.strip().lower(), value.strip()) for key, _, value in pairs]


def _channel(endpoint: str) -> grpc.Channel:
    url = urlsplit(endpoint)
    if url.scheme == "http":
        return grpc.insecure_channel(url.netloc)
    return grpc.secure_channel(url.netloc, grpc.ssl_channel_credentials())


def trace_with(sink: SpanSink | None, sample_ratio: float) -> None:
    """Gives all spans from now on to `sink`; of traces that begin here, this fraction. None: no spans."""
    global _sink, _sample_ratio
    _sink, _sample_ratio = sink, sample_ratio


def meter() -> metrics.Meter:
    """The meter of this project's instruments."""
    return metrics.get_meter(INSTRUMENTATION)


def is_tracing() -> bool:
    """Whether spans go anywhere: without an endpoint there is nothing to record or to pass on."""
    return _sink is not None


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, Attribute] = _NO_ATTRIBUTES,
    traceparent: str = "",
    is_root: bool = False,
) -> Span | NoSpan:
    """A span around a block, marked as an error if the block raises.

    Its parent is `traceparent` where given (a W3C trace context from metadata or a log event), else the
    current span, unless it is a root. It is sampled if its parent is.
    """
    if _sink is None:
        return NO_SPAN
    parent = parse_traceparent(traceparent) if traceparent else None
    if not traceparent and not is_root and (current := current_span()) is not None:
        parent = current.trace_id, current.span_id, current.is_sampled
    return Span(name, kind, attributes, parent or new_trace(_sample_ratio), _sink)


def current_traceparent() -> str:
    """W3C trace context of the current span, empty where nothing is traced."""
    current = current_span()
    return current.traceparent if current is not None else ""


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata that carries the current span to the called service."""
    traceparent = current_traceparent()
    return (("traceparent", traceparent),) if traceparent else ()
