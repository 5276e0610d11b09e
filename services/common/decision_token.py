"""Decision ids: unguessable, and checkable by any service without a look-up.

A decision id is a keyed hash of the request id, so only who received the router's reply has it, and the
feedback service can tell without asking anyone. The key is made once per zoo and lives in Redis.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable
from typing import cast

import redis.asyncio as aioredis

from services.common.keys import Keys

_KEY_BYTES = 32
_TOKEN_BYTES = 16


class DecisionTokens:
    """Mints and checks decision ids under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def for_zoo(cls, client: aioredis.Redis, keys: Keys) -> "DecisionTokens":
        """The zoo's key from Redis; whoever comes first makes it."""
        await cast(Awaitable[object], client.set(keys.secret, secrets.token_bytes(_KEY_BYTES), nx=True))
        return cls(cast(bytes, await cast(Awaitable[object], client.get(keys.secret))))

    def mint(self, request_id: str) -> str:
        """The decision id of a request: 32 hexadecimal digits."""
        return hashlib.blake2b(request_id.encode(), key=self._key, digest_size=_TOKEN_BYTES).hexdigest()

    def matches(self, request_id: str, decision_id: str) -> bool:
        """Whether `decision_id` is that of `request_id`, in constant time."""
        return hmac.compare_digest(self.mint(request_id).encode(), decision_id.encode())
