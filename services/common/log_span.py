"""The span of a batch of events on its way into the log, by the messaging and database conventions."""

from collections.abc import Sequence

from services.common.spans import NoSpan, Span, SpanKind
from services.common.telemetry import is_tracing, span

MAX_LINKS = 16


def append_span(stream: str, traceparents: Sequence[str]) -> Span | NoSpan:
    """Around an append of events that have these trace contexts, some of which may be empty.

    One event alone shows in its own trace; a batch begins a trace that links to those of its events.
    """
    if not is_tracing():
        return span("")
    attributes: dict[str, str | int] = {
        "db.system.name": "redis",
        "messaging.system": "redis",
        "messaging.operation.type": "send",
        "messaging.destination.name": stream,
        "messaging.batch.message_count": len(traceparents),
    }
    known = sorted({each for each in traceparents if each})[:MAX_LINKS]
    if len(traceparents) == 1 and known:
        return span(f"send {stream}", SpanKind.PRODUCER, attributes, known[0])
    current = span(f"send {stream}", SpanKind.PRODUCER, attributes, is_root=True)
    current.link(known)
    return current
