"""Claims of client-supplied request ids in Redis: one JSON string per id, with a time to live."""

import json
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from typing import Any, cast

import redis.asyncio as aioredis

from services.common.keys import Keys
from services.common.redis_client import or_unavailable
from services.core.events import EnergyAttributed, ModelGeneration
from services.router.requests import Ended, Failure, Record, Started


class RedisClaims:
    """`Claims` by SET NX.

    Args:
        client: of Redis.
        keys: of the zoo.
        ttl_seconds: how long a finished request is remembered.
        lease_seconds: how long one that runs is, unless renewed.

    """

    def __init__(self, client: aioredis.Redis, keys: Keys, ttl_seconds: int, lease_seconds: int) -> None:
        self._client, self._keys, self._ttl = client, keys, ttl_seconds
        self._lease = min(lease_seconds, ttl_seconds)

    async def claim(self, request_id: str, kind: str) -> Record | None:
        """See `Claims`."""
        found = await or_unavailable(
            cast(
                Awaitable[bytes | None],
                self._client.set(
                    self._keys.claim(request_id),
                    encode_record(Record(kind)),
                    nx=True,
                    get=True,
                    ex=self._lease,
                ),
            )
        )
        return None if found is None else decode_record(found)

    async def read(self, request_id: str) -> Record | None:
        """See `Claims`."""
        found = await or_unavailable(
            cast(Awaitable[bytes | None], self._client.get(self._keys.claim(request_id)))
        )
        return None if found is None else decode_record(found)

    async def record(self, request_id: str, record: Record) -> None:
        """See `Claims`."""
        await or_unavailable(
            cast(
                Awaitable[Any],
                self._client.set(self._keys.claim(request_id), encode_record(record), ex=self._ttl),
            )
        )

    async def release(self, request_id: str) -> None:
        """See `Claims`."""
        await or_unavailable(cast(Awaitable[Any], self._client.delete(self._keys.claim(request_id))))

    async def renew(self, request_ids: Sequence[str]) -> None:
        """See `Claims`."""
        pipeline = self._client.pipeline(transaction=False)
        for request_id in request_ids:
            # Never sooner than it would: it may have finished meanwhile.
            pipeline.expire(self._keys.claim(request_id), self._lease, gt=True)
        await or_unavailable(pipeline.execute())


def encode_record(record: Record) -> bytes:
    """A record as JSON."""
    return json.dumps(asdict(record), separators=(",", ":")).encode()


def decode_record(data: bytes) -> Record:
    """Inverse of `encode_record`."""
    fields = json.loads(data)
    return Record(
        fields["kind"],
        None if fields["started"] is None else _started(fields["started"]),
        fields["text"],
        None if fields["ended"] is None else _ended(fields["ended"]),
        None if fields["failure"] is None else Failure(**fields["failure"]),
    )


def _started(fields: dict[str, Any]) -> Started:
    explored = tuple(ModelGeneration(**generation) for generation in fields.pop("explored_models"))
    return Started(**fields, explored_models=explored)


def _ended(fields: dict[str, Any]) -> Ended:
    return Ended(**{**fields, "energy": EnergyAttributed(**fields["energy"])})
