"""What else the router keeps in or reads from Redis: conversations, texts, loads, snapshots."""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, cast

import redis.asyncio as aioredis
from redis.asyncio.client import PubSub

from services.common.keys import Keys
from services.common.redis_client import STATE_AWAY, or_unavailable
from services.core.energy_model import StepLaw
from services.core.errors import InvalidSnapshotError
from services.core.learner_codec import CONTROL, HEADS
from services.router.ports import WorkerLoad
from services.router.requests import Generation

_CONVERSATION_SECONDS = 86_400


class RedisConversations:
    """`Conversations`: a day after its last turn a conversation is forgotten."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def model(self, conversation_id: str) -> str | None:
        """See `Conversations`."""
        call = self._client.getex(self._keys.conversation(conversation_id), ex=_CONVERSATION_SECONDS)
        found = await or_unavailable(cast(Awaitable[bytes | None], call))
        return None if found is None else found.decode()

    async def keep(self, conversation_id: str, model_id: str) -> None:
        """See `Conversations`."""
        key = self._keys.conversation(conversation_id)
        call = self._client.set(key, model_id, nx=True, ex=_CONVERSATION_SECONDS)
        await or_unavailable(cast(Awaitable[Any], call))


class RedisTexts:
    """`Texts`: a hash per request with prompt, labeling, number of generations and each one's answer."""

    def __init__(self, client: aioredis.Redis, keys: Keys, ttl_seconds: int) -> None:
        self._client, self._keys, self._ttl = client, keys, ttl_seconds

    async def store(
        self, request_id: str, generation_id: str, work: Generation, answer: str, generations: int
    ) -> None:
        """See `Texts`."""
        fields: dict[Any, Any] = {
            "prompt": work.prompt_text,
            "labeling": work.labeling or b"",
            "generations": generations,
            f"answer:{generation_id}": answer,
        }
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset(self._keys.text(request_id), mapping=fields)
        pipeline.expire(self._keys.text(request_id), self._ttl)
        await or_unavailable(pipeline.execute())


class RedisLoads:
    """`Loads` from the keys that workers renew."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def read(self, worker_ids: Sequence[str]) -> list[WorkerLoad | None]:
        """See `Loads`."""
        call = self._client.mget([self._keys.load(worker_id) for worker_id in worker_ids])
        return [_load(value) for value in await or_unavailable(cast(Awaitable[list[bytes | None]], call))]


def _load(value: bytes | None) -> WorkerLoad | None:
    if value is None:
        return None
    with suppress(ValueError, KeyError, TypeError):
        fields = json.loads(value)
        return WorkerLoad(int(fields["running"]), int(fields["waiting"]))
    return None


class RedisStepLaws:
    """`StepLaws` from the calibrations of the energy service."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def read(self) -> dict[str, StepLaw]:
        """See `StepLaws`. What cannot be read is left out."""
        call = self._client.hvals(self._keys.calibration)
        found: dict[str, StepLaw] = {}
        for value in await or_unavailable(cast(Awaitable[list[bytes]], call)):
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                for model_id, costs in json.loads(value)["step_laws"].items():
                    found[model_id] = found.get(model_id, StepLaw(0.0, 0.0)) + StepLaw(**costs)
        return found


class RedisSnapshots:
    """`SnapshotSource` from the learner's hash and its channel."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._notices: PubSub | None = None

    async def version(self) -> int | None:
        """See `SnapshotSource`."""
        call = self._client.hget(self._keys.learner, "version")
        found = await or_unavailable(cast(Awaitable[bytes | None], call))
        return None if found is None else _version(found)

    async def control(self) -> tuple[int, bytes]:
        """See `SnapshotSource`. Raises InvalidSnapshotError where it is missing."""
        version, parts = await self._read(CONTROL)
        return version, parts[CONTROL]

    async def parts(self) -> tuple[int, dict[str, bytes]]:
        """See `SnapshotSource`. Raises InvalidSnapshotError where one is missing."""
        return await self._read(CONTROL, HEADS)

    async def _read(self, *names: str) -> tuple[int, dict[str, bytes]]:
        call = self._client.hmget(self._keys.learner, ["version", *names])
        version, *values = await or_unavailable(cast(Awaitable[list[bytes | None]], call))
        found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        if version is None or len(found) < len(names):
            raise InvalidSnapshotError(f"the learner's hash lacks one of version, {', '.join(names)}")
        return _version(version), found

    async def wait_for_notice(self, timeout_seconds: float) -> None:
        """See `SnapshotSource`. A lost notice costs one interval, no more."""
        try:
            await self._noticed(timeout_seconds)
        except STATE_AWAY:
            with suppress(*STATE_AWAY):
                await self._unsubscribe()
            await asyncio.sleep(timeout_seconds)

    async def _noticed(self, timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        if self._notices is None:
            self._notices = self._client.pubsub(ignore_subscribe_messages=True)
            await self._notices.subscribe(self._keys.snapshots)
        while (left := deadline - loop.time()) > 0.0:
            if await self._notices.get_message(timeout=left) is not None:
                break
        # One refresh answers all notices that have come by now.
        while await self._notices.get_message(timeout=0.0) is not None:
            pass

    async def _unsubscribe(self) -> None:
        notices, self._notices = self._notices, None
        if notices is not None:
            await notices.aclose()  # type: ignore[no-untyped-call]


def _version(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidSnapshotError(f"version is {value!r}, expected an integer") from None
