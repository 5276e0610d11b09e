"""What the energy service has learned of its meters, in Redis."""

import json
import logging
from collections.abc import Awaitable, Mapping
from typing import Any, cast

import redis.asyncio as aioredis

from services.common.keys import Keys
from services.common.redis_client import or_unavailable

_log = logging.getLogger(__name__)


class RedisCalibrations:
    """The hash `messplus:{zoo}:calibration`: JSON per meter id."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    async def save(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """See CalibrationStore."""
        if states:
            fields = {meter_id: json.dumps(state) for meter_id, state in states.items()}
            written = self._client.hset(self._keys.calibration, mapping=cast(dict[Any, Any], fields))
            await or_unavailable(written)

    async def load(self) -> dict[str, dict[str, Any]]:
        """See CalibrationStore. What is no JSON object is left out and logged."""
        reply = self._client.hgetall(self._keys.calibration)
        stored = await or_unavailable(cast(Awaitable[dict[bytes, bytes]], reply))
        states = {}
        for meter_id, data in stored.items():
            try:
                state = json.loads(data)
            except ValueError as error:
                _log.warning("the stored calibration of meter %s is no JSON: %s", meter_id.decode(), error)
                continue
            states[meter_id.decode()] = state
        return states
