"""The span and the duration of every call that a service answers (OpenTelemetry's RPC conventions)."""

import asyncio
import time
from types import TracebackType
from typing import Any

import grpc

from services.common.buffered_histogram import BufferedHistogram
from services.common.spans import Span, SpanKind
from services.common.telemetry import meter, span

_SERVERS_FAULT = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""What the conventions call an error of a server; any other refusal is an answer."""
_BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
_SECONDS_PER_NANOSECOND = 1e-9
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_Context = grpc.aio.ServicerContext


class ObservedMethod:
    """One RPC of a service, by its full name."""

    def __init__(self, full_method: str) -> None:
        self.name = full_method
        self.attributes = {"rpc.system.name": "grpc", "rpc.method": full_method}
        self._of_status: dict[str, dict[str, str]] = {}
        seconds = meter().create_histogram(
            "rpc.server.call.duration",
            "s",
            "Time to answer a call",
            explicit_bucket_boundaries_advisory=_BUCKETS_SECONDS,
        )
        self._seconds = BufferedHistogram(seconds)

    def call(self, context: _Context[Any, Any]) -> "_ObservedCall":
        """Surrounds one call."""
        return _ObservedCall(self, context)

    def ended(self, status: str, seconds: float) -> dict[str, str]:
        """Records a call; returns the attributes of those that end so."""
        attributes = self._of_status.get(status)
        if attributes is None:
            attributes = self._of_status[status] = {**self.attributes, "rpc.status_code": status}
        self._seconds.record(seconds, attributes)
        return attributes


class _ObservedCall:
    __slots__ = ("_context", "_method", "_span")

    def __init__(self, method: ObservedMethod, context: _Context[Any, Any]) -> None:
        self._method, self._context = method, context
        self._span = span(method.name, SpanKind.SERVER, traceparent=_traceparent(context))

    def __enter__(self) -> None:
        self._span.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        status = "OK" if error is None else _status(error, self._context)
        current = self._span
        if isinstance(current, Span):
            seconds = (time.time_ns() - current.start_nanoseconds) * _SECONDS_PER_NANOSECOND
            current.set_attributes(self._method.ended(status, seconds))
            current.error_type = status if status in _SERVERS_FAULT else ""
        current.__exit__(None, None, None)


def _status(error: BaseException, context: _Context[Any, Any]) -> str:
    """What the client got, or would have got had it waited."""
    if isinstance(error, asyncio.CancelledError):
        left = context.time_remaining()
        return "DEADLINE_EXCEEDED" if left is not None and left <= 0 else "CANCELLED"
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _NAMES.get(number, "UNKNOWN") if number else "UNKNOWN"


def _traceparent(context: _Context[Any, Any]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return ""
