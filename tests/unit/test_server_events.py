"""Events of a stream are found however its bytes are cut."""

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import BrokenStreamError
from services.worker.adapters.server_events import MAX_EVENT_BYTES, event_data

STREAM = (
    b': a comment\n\ndata: {"a": 1}\n\nevent: message\r\nid: 7\r\ndata:{"b": "\xc3\xa4"}\r\n\r\n'
    b"data: one\ndata: two\n\n\n\nretry: 3\n\ndata: [DONE]\n\ndata: never ended"
)
EVENTS = [b'{"a": 1}', b'{"b": "\xc3\xa4"}', b"one\ntwo", b"[DONE]"]


async def pieces(cut: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in cut:
        yield piece


async def found(cut: Iterable[bytes]) -> list[bytes]:
    return [data async for data in event_data("http://server", pieces(cut))]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
async def test_where_the_bytes_are_cut_does_not_matter(places: list[int]) -> None:
    edges = [0, *sorted(places), len(STREAM)]
    assert await found([STREAM[a:b] for a, b in pairwise(edges)]) == EVENTS


async def test_an_event_without_end_is_refused() -> None:
    endless = [b"data: ", *[b"x" * 65_536] * (MAX_EVENT_BYTES // 65_536 + 1)]
    with pytest.raises(BrokenStreamError, match="more than 1048576 bytes"):
        await found(endless)
    lines = [b"data: " + b"x" * 65_536 + b"\n"] * (MAX_EVENT_BYTES // 65_536 + 1)
    with pytest.raises(BrokenStreamError, match="more than 1048576 bytes"):
        await found(lines)
