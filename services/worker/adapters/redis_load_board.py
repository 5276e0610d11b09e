"""A worker's load as a key in Redis that expires unless it is renewed."""

import json

import redis.asyncio as aioredis

from services.common.redis_client import or_unavailable
from services.worker.ports import Load

LIFETIME_MILLISECONDS = 2000


class RedisLoadBoard:
    """The key `load:<worker id>`: JSON with running, waiting, batch, model_id and address."""

    def __init__(self, client: aioredis.Redis, key: str, model_id: str, address: str) -> None:
        self._client, self._key = client, key
        self._identity = {"model_id": model_id, "address": address}

    async def publish(self, load: Load) -> None:
        """See LoadBoard."""
        shown = {"running": load.running, "waiting": load.waiting, "batch": load.batch, **self._identity}
        await or_unavailable(self._client.set(self._key, json.dumps(shown), px=LIFETIME_MILLISECONDS))

    async def withdraw(self) -> None:
        """See LoadBoard."""
        await or_unavailable(self._client.delete(self._key))
