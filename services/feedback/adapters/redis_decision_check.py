"""Checks decision ids under the zoo's secret, which routers share and which is fetched at first use."""

import asyncio

import redis.asyncio as aioredis

from services.common.decision_token import DecisionTokens
from services.common.keys import Keys
from services.common.redis_client import or_unavailable
from services.core.errors import StateUnavailableError

_REFRESH_SECONDS = 1.0


class RedisDecisionCheck:
    """`ports.DecisionCheck` without a look-up per call."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._tokens: DecisionTokens | None = None
        self._fetched_at = 0.0

    async def matches(self, request_id: str, decision_id: str) -> bool:
        """See `ports.DecisionCheck`.

        A mismatch fetches the secret anew, at most once a second: a server that lost its data may have
        another one. Raises StateUnavailableError while it has none.
        """
        if self._tokens is not None and self._tokens.matches(request_id, decision_id):
            return True
        now = asyncio.get_running_loop().time()
        if self._tokens is None or now - self._fetched_at >= _REFRESH_SECONDS:
            self._tokens = await or_unavailable(DecisionTokens.of_zoo(self._client, self._keys))
            self._fetched_at = now
        if self._tokens is None:
            raise StateUnavailableError("no router has shared the key of decision ids yet")
        return self._tokens.matches(request_id, decision_id)
