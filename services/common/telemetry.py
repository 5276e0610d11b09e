"""Traces and metrics: one span per step of a request, its context carried in gRPC metadata and in the log.

Without an OTLP endpoint nothing is recorded and a span costs next to nothing. With one, spans and
metrics leave in the background; a collector that is away never slows or stops serving.
Prompts and answers are never put into telemetry.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

INSTRUMENTATION = "messplus"
_PROPAGATOR = TraceContextTextMapPropagator()
_tracing = False


def start_telemetry(service: str, instance_id: str, otlp_endpoint: str) -> Callable[[], None]:
    """Sends traces and metrics to an OTLP endpoint, if one is given. Returns what flushes them at the end."""
    global _tracing
    if not otlp_endpoint:
        return lambda: None
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"messplus-{service}", "service.instance.id": instance_id})
    insecure = otlp_endpoint.startswith("http://")
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint, insecure=insecure))
    )
    trace.set_tracer_provider(tracers)
    _tracing = True
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=otlp_endpoint, insecure=insecure))
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    metrics.set_meter_provider(meters)

    def stop() -> None:
        tracers.shutdown()
        meters.shutdown()

    return stop


def meter() -> metrics.Meter:
    """The meter of this project's instruments."""
    return metrics.get_meter(INSTRUMENTATION)


def is_tracing() -> bool:
    """Whether spans go anywhere: without an endpoint there is nothing to record or to pass on."""
    return _tracing


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, Any] | None = None,
    traceparent: str = "",
) -> Iterator[Span]:
    """A span around a block, marked as an error if the block raises.

    Its parent is `traceparent` where given (a W3C trace context from metadata or a log event), else the
    current span.
    """
    if not is_tracing():
        yield INVALID_SPAN
        return
    parent = parse_traceparent(traceparent) if traceparent else None
    tracer = trace.get_tracer(INSTRUMENTATION)
    with tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def parse_traceparent(traceparent: str) -> otel_context.Context:
    """The context that a W3C trace context stands for."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, context=otel_context.Context())


def current_traceparent() -> str:
    """W3C trace context of the current span, empty where nothing is traced."""
    if not _tracing or not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata that carries the current span to the called service."""
    traceparent = current_traceparent()
    return (("traceparent", traceparent),) if traceparent else ()
