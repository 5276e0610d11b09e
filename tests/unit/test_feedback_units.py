"""Parts of the feedback service that need no server: the way into the log, and the links of a fold."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from services.common.event_codec import encode_event
from services.common.keys import Keys
from services.core.errors import OverloadedError, StateUnavailableError
from services.core.events import Label
from services.feedback.adapters import redis_label_log
from services.feedback.adapters.redis_label_log import RedisLabelLog


class Stream:
    """A client that appends to lists, one per round trip."""

    def __init__(self) -> None:
        self.trips: list[list[bytes]] = []
        self.failure: Exception | None = None

    async def fcall(self, name: str, key_count: int, *arguments) -> list[bytes]:
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        before = sum(map(len, self.trips))
        key, kind, *data = arguments
        assert name.startswith("messplus_append_")
        assert (key_count, key, kind) == (1, Keys("z").events, "label")
        self.trips.append(data)
        return [b"%d-0" % (before + i) for i in range(len(data))]


def label(number: int) -> Label:
    return Label(f"r{number}", "", 1.0, "client")


async def test_labels_of_one_tick_share_a_round_trip_and_keep_their_order():
    stream = Stream()
    log = RedisLabelLog(stream, Keys("z"))
    positions = await asyncio.gather(*(log.append(label(i)) for i in range(100)))
    assert positions == [f"{i}-0" for i in range(100)]
    assert stream.trips == [[encode_event(label(i))[1] for i in range(100)]]


async def test_labels_that_come_while_one_is_on_its_way_leave_together():
    stream = Stream()
    log = RedisLabelLog(stream, Keys("z"))
    first = log.append(label(0))
    await asyncio.sleep(0)
    later = [log.append(label(i)) for i in (1, 2)]
    assert await asyncio.gather(first, *later) == ["0-0", "1-0", "2-0"]
    assert [len(trip) for trip in stream.trips] == [1, 2]


async def test_an_outage_is_told_to_all_and_the_next_label_tries_anew():
    stream = Stream()
    log = RedisLabelLog(stream, Keys("z"))
    stream.failure = RedisConnectionError("gone")
    results = await asyncio.gather(*(log.append(label(i)) for i in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StateUnavailableError] * 3
    stream.failure = None
    assert await log.append(label(3)) == "0-0"


async def test_a_server_that_takes_no_writes_is_unavailable_without_the_label_in_its_message():
    stream = Stream()
    stream.failure = OutOfMemoryError("command not allowed, args beginning with: r0")
    with pytest.raises(StateUnavailableError, match="out of memory") as raised:
        await RedisLabelLog(stream, Keys("z")).append(label(0))
    assert "r0" not in str(raised.value)


async def test_a_caller_that_left_does_not_harm_the_others():
    log = RedisLabelLog(Stream(), Keys("z"))
    left, stays = log.append(label(0)), log.append(label(1))
    left.cancel()
    assert await stays == "1-0"


async def test_the_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(redis_label_log, "MAX_WAITING_LABELS", 2)
    log = RedisLabelLog(Stream(), Keys("z"))
    waiting = [log.append(label(i)) for i in range(2)]
    with pytest.raises(OverloadedError):
        log.append(label(2))
    assert await asyncio.gather(*waiting) == ["0-0", "1-0"]
