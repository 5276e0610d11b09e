"""Spans, made to cost microseconds: a router that is asked for a decision has no more to spare.

A span of the OpenTelemetry SDK takes 17 us, and as much again to encode; these take a third of it and leave
as OTLP all the same (docs/adr/0014-spans.md, `python -m bench.run tracing`). The context is W3C's: a trace
that others began goes on here, and whether it is sampled is theirs to say.
"""

import random
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from enum import IntEnum
from types import TracebackType
from typing import Protocol

__all__ = [
    "NO_SPAN",
    "Attribute",
    "NoSpan",
    "Span",
    "SpanKind",
    "SpanSink",
    "current_span",
    "new_trace",
    "parse_traceparent",
]

Attribute = str | int | float | bool
_VERSION, _SAMPLED, _NOT_SAMPLED = "00", "01", "00"
_TRACEPARENT_CHARACTERS = 55
_RANDOM_BITS = 56
"""Of a trace id, those that W3C's trace context level 2 requires to be random; sampling goes by them."""


class SpanKind(IntEnum):
    """As OTLP numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class SpanSink(Protocol):
    """Takes spans that have ended, and never waits."""

    def put(self, span: "Span") -> None:
        """Takes one."""


class Span:
    """One step of a request. As a context manager it is the current span and ends with the block.

    Attributes:
        trace_id, span_id, parent_id: hexadecimal; the parent's is empty for a root.
        is_sampled: whether it is recorded; if not, it only passes that on.
        links: W3C trace contexts of others that this one is about.
        error_type: why it failed; empty where it did not. An error that leaves the block sets it.

    """

    __slots__ = (
        "_before",
        "_sink",
        "attributes",
        "end_nanoseconds",
        "error_type",
        "is_sampled",
        "kind",
        "links",
        "name",
        "parent_id",
        "span_id",
        "start_nanoseconds",
        "trace_id",
    )

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Attribute],
        parent: tuple[str, str, bool],
        sink: SpanSink,
    ) -> None:
        """`parent` is its trace id, its span id, and whether it is sampled."""
        self.name, self.kind, self.attributes, self._sink = name, kind, attributes, sink
        self.trace_id, self.parent_id, self.is_sampled = parent
        self.span_id = f"{random.getrandbits(64):016x}"
        self.start_nanoseconds = self.end_nanoseconds = 0
        self.links: tuple[str, ...] = ()
        self.error_type = ""

    @property
    def traceparent(self) -> str:
        """Its W3C trace context."""
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-{_SAMPLED if self.is_sampled else _NOT_SAMPLED}"

    def set_attributes(self, more: Mapping[str, Attribute]) -> None:
        """Adds attributes; a value replaces an earlier one."""
        self.attributes = {**self.attributes, **more}

    def link(self, traceparents: Sequence[str]) -> None:
        """Says which requests it is about."""
        self.links = tuple(traceparents)

    def __enter__(self) -> "Span":
        """Begins."""
        self._before = _current.get()
        _current.set(self)
        self.start_nanoseconds = time.time_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """Ends, with the error if the block raised."""
        # An asynchronous generator may be closed in another context than it began in, so no token is kept.
        _current.set(self._before)
        if kind is not None:
            self.error_type = kind.__name__
        if self.is_sampled:
            self.end_nanoseconds = time.time_ns()
            self._sink.put(self)


class NoSpan:
    """Stands where nothing is traced."""

    __slots__ = ()
    is_sampled = False
    traceparent = ""

    def set_attributes(self, more: Mapping[str, Attribute]) -> None:
        """Does nothing."""

    def link(self, traceparents: Sequence[str]) -> None:
        """Does nothing."""

    def __enter__(self) -> "NoSpan":
        """Does nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Does nothing."""


NO_SPAN = NoSpan()
_current: ContextVar[Span | None] = ContextVar("messplus-span", default=None)


def current_span() -> Span | None:
    """The span that this code runs in."""
    return _current.get()


def parse_traceparent(traceparent: str) -> tuple[str, str, bool] | None:
    """Trace id, span id and whether it is sampled, of a W3C trace context; None for what is none."""
    if len(traceparent) < _TRACEPARENT_CHARACTERS or traceparent[2] != "-":
        return None
    trace_id, span_id, flags = traceparent[3:35], traceparent[36:52], traceparent[53:55]
    try:
        is_valid = int(trace_id, 16) > 0 and int(span_id, 16) > 0 and traceparent[:2] != "ff"
        return (trace_id, span_id, bool(int(flags, 16) & 1)) if is_valid else None
    except ValueError:
        return None


def new_trace(sample_ratio: float) -> tuple[str, str, bool]:
    """The parent of a root: a trace id, no span, and whether this trace is one of those to sample."""
    number = random.getrandbits(128) or 1
    # All who take the same ratio choose the same traces.
    is_sampled = (number & ((1 << _RANDOM_BITS) - 1)) >= (1.0 - sample_ratio) * (1 << _RANDOM_BITS)
    return f"{number:032x}", "", is_sampled
