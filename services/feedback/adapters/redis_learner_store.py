"""The learner's lease, checkpoint and log in Redis, by the functions of `services/common/functions.lua`."""

from collections.abc import Awaitable, Iterator, Mapping
from typing import Any, cast

import redis.asyncio as aioredis
from redis.exceptions import ResponseError

from services.common.keys import Keys
from services.common.redis_client import call_function, or_unavailable
from services.core.errors import FencedOutError
from services.core.events import START, Position
from services.core.learner_codec import CONTROL, HEADS, MEMORY
from services.feedback.ports import Checkpoint, LearnerStatus, LogExtent, RawEntry, StoredState

_PARTS = (HEADS, MEMORY, CONTROL)


class RedisLog:
    """Reads one zoo's stream."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def read(self, after: Position, limit: int, wait_seconds: float) -> list[RawEntry]:
        """See `ports.LogReader`."""
        events = self._keys.events
        reply = await _ask(
            self._client.xread({events: str(after)}, count=limit, block=max(1, int(wait_seconds * 1000)))
        )
        if not reply:
            return []
        [(_, entries)] = reply
        return cast(list[RawEntry], entries)


class RedisLabelerProgress:
    """The key `Keys.labeler`."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._key = client, keys.labeler

    async def load(self) -> Position:
        """See `ports.LabelerProgress`."""
        return _position(await _ask(self._client.get(self._key)))

    async def store(self, position: Position) -> None:
        """See `ports.LabelerProgress`."""
        await _ask(self._client.set(self._key, str(position)))


class RedisLearnerStore(RedisLog):
    """`ports.LearnerStore` and `ports.LearnerStatusSource` of one zoo."""

    async def acquire(self, owner: str, lease_seconds: float) -> int | None:
        """See `ports.LearnerStore`."""
        keys = [self._keys.lease, self._keys.learner]
        arguments = [owner, int(lease_seconds * 1000)]
        fence = await or_unavailable(call_function(self._client, "messplus_acquire", keys, arguments))
        return None if fence is None else int(fence)

    async def release(self, owner: str) -> None:
        """See `ports.LearnerStore`."""
        await or_unavailable(call_function(self._client, "messplus_release", [self._keys.lease], [owner]))

    async def load(self) -> StoredState | None:
        """See `ports.LearnerStore`."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hgetall(self._keys.learner)
        pipeline.hgetall(self._keys.joins)
        learner, joins = await or_unavailable(pipeline.execute())
        if b"position" not in learner:
            return None
        return StoredState(
            position=_position(learner[b"position"]),
            version=_whole(learner, b"version"),
            entries=_whole(learner, b"entries"),
            dead_events=_whole(learner, b"dead_events"),
            configuration=learner.get(b"configuration", b""),
            parts={name: learner[name.encode()] for name in _PARTS if name.encode() in learner},
            joins={request_id.decode(): join for request_id, join in joins.items()},
        )

    async def checkpoint(self, fence: int, checkpoint: Checkpoint) -> None:
        """See `ports.LearnerStore`."""
        keys = [self._keys.learner, self._keys.joins, self._keys.dead]
        arguments = [fence, *_checkpoint_arguments(checkpoint)]
        try:
            await or_unavailable(call_function(self._client, "messplus_checkpoint", keys, arguments))
        except ResponseError as error:
            if "FENCED" not in str(error):
                raise
            raise FencedOutError(fence) from error

    async def publish(self, version: int) -> None:
        """See `ports.LearnerStore`."""
        await _ask(self._client.publish(self._keys.snapshots, str(version)))

    async def extent(self) -> LogExtent:
        """See `ports.LearnerStore`."""
        return _extent(await self._stream_info())

    async def trim(self, count: int, covered: Position) -> int:
        """See `ports.LearnerStore`."""
        oldest = await _ask(self._client.xrange(self._keys.events, "-", "+", count + 1))
        if not oldest:
            return 0
        labeled = _position(await _ask(self._client.get(self._keys.labeler)))
        keep_from = min(_position(oldest[-1][0]), covered, labeled)
        trimmed = await _ask(self._client.xtrim(self._keys.events, minid=str(keep_from), approximate=False))
        return int(trimmed)

    async def learner_status(self) -> LearnerStatus:
        """See `ports.LearnerStatusSource`."""
        fields = (b"fence", b"position", b"version", b"entries", b"labels_learned", b"dead_events")
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hmget(self._keys.learner, *fields)
        pipeline.hlen(self._keys.joins)
        pipeline.time()
        pipeline.execute_command("XINFO STREAM", self._keys.events)
        values, joins, time, info = await or_unavailable(pipeline.execute(raise_on_error=False))
        learner = {name: value for name, value in zip(fields, values, strict=True) if value is not None}
        position, extent = _position(learner.get(b"position")), _extent(info)
        trimmed = extent.added - extent.length
        lag = extent.added - max(_whole(learner, b"entries"), trimmed)
        return LearnerStatus(
            fence=_whole(learner, b"fence"),
            position=str(position),
            version=_whole(learner, b"version"),
            lag_events=lag,
            lag_seconds=await self._age_seconds(position, time) if lag else 0.0,
            labels_learned=_whole(learner, b"labels_learned"),
            open_joins=joins,
            dead_events=_whole(learner, b"dead_events"),
        )

    async def _age_seconds(self, position: Position, time: tuple[int, int]) -> float:
        """Age of the oldest entry after a position, by the store's own clock."""
        entries = await _ask(self._client.xrange(self._keys.events, f"({position}", "+", 1))
        if not entries:
            return 0.0
        return max(0.0, time[0] + time[1] * 1e-6 - _position(entries[0][0]).milliseconds * 1e-3)

    async def _stream_info(self) -> Any:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("XINFO STREAM", self._keys.events)
        [info] = await or_unavailable(pipeline.execute(raise_on_error=False))
        return info


async def _ask(call: Any) -> Any:
    return await or_unavailable(cast(Awaitable[Any], call))


def _checkpoint_arguments(checkpoint: Checkpoint) -> Iterator[Any]:
    """What `messplus_checkpoint` takes after the fence."""
    fields: dict[str, Any] = {
        **checkpoint.parts,
        "position": str(checkpoint.position),
        "version": checkpoint.version,
        "entries": checkpoint.entries,
        "dead_events": checkpoint.dead_events,
        "labels_learned": checkpoint.labels_learned,
        "configuration": checkpoint.configuration,
    }
    yield from (len(fields), len(checkpoint.joins_set), len(checkpoint.joins_deleted), len(checkpoint.dead))
    for pairs in (fields, checkpoint.joins_set):
        for name, value in pairs.items():
            yield from (name, value)
    yield from checkpoint.joins_deleted
    for record in checkpoint.dead:
        yield from (record.position, record.reason, record.data)


def _extent(info: Any) -> LogExtent:
    """From the reply to XINFO STREAM, which is an error where there is no stream yet."""
    if isinstance(info, ResponseError) and "no such key" in str(info):
        return LogExtent(0, 0, START)
    if isinstance(info, Exception):
        raise info
    return LogExtent(info["length"], int(info["entries-added"]), _position(info["last-generated-id"]))


def _position(value: bytes | str | None) -> Position:
    if value is None:
        return START
    return Position.parse(value.decode() if isinstance(value, bytes) else value)


def _whole(fields: Mapping[bytes, bytes], name: bytes) -> int:
    return int(fields.get(name, b"0"))
