"""Spans: their context over process borders, sampling that honours the parent, and their form as OTLP."""

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from services.common import telemetry
from services.common.span_exporter import encode_span
from services.common.spans import Span, SpanKind, new_trace, parse_traceparent
from services.common.telemetry import current_traceparent, parse_headers, span, trace_metadata

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


class Sink:
    """Keeps what ended."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def put(self, span: Span) -> None:
        self.spans.append(span)


@pytest.fixture
def sink() -> Iterator[Sink]:
    kept = Sink()
    telemetry.trace_with(kept, 1.0)
    yield kept
    telemetry.trace_with(None, 1.0)


def test_spans_nest_and_pass_their_context_on(sink: Sink) -> None:
    with span("outer", SpanKind.SERVER, traceparent=SAMPLED):
        outer = current_traceparent()
        with span("inner", attributes={"a": 1}):
            assert trace_metadata() == (("traceparent", current_traceparent()),)
        assert current_traceparent() == outer
    assert current_traceparent() == ""
    inner, outer_span = sink.spans
    assert (inner.name, outer_span.name) == ("inner", "outer")
    assert inner.trace_id == outer_span.trace_id == TRACE_ID
    assert (inner.parent_id, outer_span.parent_id) == (outer_span.span_id, SPAN_ID)
    assert outer_span.start_nanoseconds <= inner.start_nanoseconds <= inner.end_nanoseconds
    assert inner.end_nanoseconds <= outer_span.end_nanoseconds


def test_a_parent_that_is_not_sampled_is_honoured_and_passed_on(sink: Sink) -> None:
    with span("outer", traceparent=NOT_SAMPLED), span("inner"):
        assert current_traceparent().endswith("-00")
        assert current_traceparent()[3:35] == TRACE_ID
    assert sink.spans == []


def test_without_an_endpoint_nothing_is_passed_on() -> None:
    with span("outer", traceparent=SAMPLED):
        assert current_traceparent() == ""
        assert trace_metadata() == ()


def test_the_ratio_samples_that_part_of_the_traces_that_begin_here() -> None:
    count, ratio = 4000, 0.2
    kept = sum(new_trace(ratio)[2] for _ in range(count))
    assert abs(kept - ratio * count) < 5 * math.sqrt(count * ratio * (1 - ratio))
    assert not any(new_trace(0.0)[2] for _ in range(100))
    assert all(new_trace(1.0)[2] for _ in range(100))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "00",
        SAMPLED[:-3],
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'z' * 16}-01",
        f"ff{SAMPLED[2:]}",
    ],
)
def test_what_is_no_trace_context_begins_a_trace_of_its_own(sink: Sink, bad: str) -> None:
    assert parse_traceparent(bad) is None
    with span("root", traceparent=bad):
        pass
    assert sink.spans[0].parent_id == ""
    assert len(sink.spans[0].trace_id) == 32


def test_an_error_marks_the_span_and_goes_on(sink: Sink) -> None:
    with pytest.raises(ValueError, match="broken"), span("failing"):
        raise ValueError("broken")
    assert sink.spans[0].error_type == "ValueError"
    assert current_traceparent() == ""


async def test_tasks_have_contexts_of_their_own_and_generators_close_anywhere(sink: Sink) -> None:
    async def numbers() -> AsyncGenerator[str, None]:
        with span("generator"):
            yield current_traceparent()

    with span("outer"):
        outer, generator = current_traceparent(), numbers()
        inside = await asyncio.create_task(anext(generator))
        assert current_traceparent() == outer
        await generator.aclose()
        assert inside[3:35] == outer[3:35]
    assert {each.name for each in sink.spans} == {"generator", "outer"}


def test_a_span_as_otlp(sink: Sink) -> None:
    with span("x", SpanKind.CLIENT, {"s": "v", "i": 2, "f": 0.5, "b": True}, SAMPLED) as current:
        current.set_attributes({"i": 3})
        current.link([NOT_SAMPLED, "nonsense"])
    ended = sink.spans[0]
    ended.error_type = "INTERNAL"
    message = trace_pb2.Span()
    encode_span(ended, message)
    assert (message.trace_id.hex(), message.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert message.kind == trace_pb2.Span.SPAN_KIND_CLIENT
    assert message.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    values = {each.key: each.value for each in message.attributes}
    assert values["s"].string_value == "v"
    assert (values["i"].int_value, values["f"].double_value, values["b"].bool_value) == (3, 0.5, True)
    assert values["error.type"].string_value == "INTERNAL"
    assert [link.trace_id.hex() for link in message.links] == [TRACE_ID]


def test_headers_are_lower_case_pairs() -> None:
    assert parse_headers("Authorization=Bearer a=b, x=1") == [("authorization", "Bearer a=b"), ("x", "1")]
    assert parse_headers("") == []
