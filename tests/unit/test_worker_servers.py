"""Parts of the remote engines that need no server: stop strings, metrics pages, statuses, Retry-After."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import status_of
from services.core.errors import (
    BrokenStreamError,
    EngineError,
    EngineUnreachableError,
    InvalidRequestError,
    ServerBusyError,
    ServerDeniedError,
    UnknownServerModelError,
    WorkerFailedError,
    WrongServerError,
)
from services.worker.adapters.server_http import retry_after_seconds, shown, status_error
from services.worker.adapters.server_metrics import parse_load
from services.worker.ports import ServerLoad
from services.worker.stop_filter import StopFilter


@given(
    st.text(alphabet="abc", max_size=40),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_a_text_ends_before_its_first_stop_string_however_it_is_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stop_filter = StopFilter(stops)
    shown_text = "".join(map(stop_filter.push, pieces)) + stop_filter.flush()
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    # Of stop strings that overlap, the one that is complete first ends the text.
    assert text.startswith(shown_text)
    assert stop_filter.hit == bool(ends)
    assert shown_text == text if not ends else not any(stop in shown_text for stop in stops)


def test_text_that_may_begin_a_stop_string_waits() -> None:
    stop_filter = StopFilter(["END"])
    assert [stop_filter.push(piece) for piece in ("a E", "N", "x E", "ND b")] == ["a ", "", "ENx ", ""]
    assert stop_filter.hit


@pytest.mark.parametrize(
    ("page", "load"),
    [
        ('vllm:num_requests_running{a="1"} 2.0\nvllm:num_requests_running{a="2"} 1.0\n', ServerLoad(3, 0)),
        ("llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n", ServerLoad(1, 4)),
        ("# TYPE tgi_queue_size gauge\ntgi_queue_size 2\ntgi_batch_current_size 7\n", ServerLoad(7, 2)),
        (
            'sglang:num_running_reqs{m="x"} 5.0\nsglang:num_queue_reqs{m="x"} 6.0 1700000000\n',
            ServerLoad(5, 6),
        ),
        ("go_threads 9\n", None),
        ("vllm:num_requests_running NaN\n", None),
        ("tgi_batch_current_size many\n", None),
        ("<html>", None),
    ],
)
def test_the_batch_is_read_from_any_servers_page(page: str, load: ServerLoad | None) -> None:
    assert parse_load(page) == load


def test_retry_after_is_seconds_or_a_date_and_never_nonsense() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    assert retry_after_seconds({"retry-after": "2.5"}) == 2.5
    assert 20 < retry_after_seconds({"retry-after": soon}) <= 30
    assert retry_after_seconds({"retry-after": "-3"}) == 0
    for nonsense in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}):
        assert retry_after_seconds(nonsense) == 1.0


def test_a_servers_message_never_repeats_the_prompt() -> None:
    assert "secret" not in shown("bad input: 'secret words of mine'", ["secret words of mine"])
    assert shown("too long", ["secret"]) == "too long"
    assert isinstance(status_error("u", 413, {}, "x"), InvalidRequestError)
    assert type(status_error("u", 502, {}, "bad gateway")) is EngineError


@pytest.mark.parametrize(
    ("cause", "code", "reason"),
    [
        (EngineError("x"), grpc.StatusCode.UNAVAILABLE, "WorkerFailed"),
        (EngineUnreachableError("u", "x"), grpc.StatusCode.UNAVAILABLE, "EngineUnreachable"),
        (BrokenStreamError("u", "x"), grpc.StatusCode.UNAVAILABLE, "BrokenStream"),
        (WrongServerError("u", "k", "x"), grpc.StatusCode.FAILED_PRECONDITION, "WrongServer"),
        (UnknownServerModelError("u", "m", ["a"]), grpc.StatusCode.FAILED_PRECONDITION, "UnknownServerModel"),
        (ServerDeniedError("u", 401), grpc.StatusCode.FAILED_PRECONDITION, "ServerDenied"),
        (ServerBusyError("u", 429, 3.0), grpc.StatusCode.RESOURCE_EXHAUSTED, "ServerBusy"),
    ],
)
def test_an_engines_error_keeps_its_name_on_the_wire(
    cause: EngineError, code: grpc.StatusCode, reason: str
) -> None:
    found, status = status_of(WorkerFailedError("m", 3, str(cause), cause))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (found, info.reason, info.metadata["tokens_sent"]) == (code, reason, "3")
