"""Decision ids: unguessable, and checkable by any service without a look-up.

A decision id is a keyed hash of the request id, so only who received the router's reply has it, and the
feedback service can tell without asking anyone. The key is made once per zoo, by its first router, and lives
in Redis; one that lost its data gets it back from a router, so that ids stay what they were.
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
    def new(cls) -> "DecisionTokens":
        """Under a key of its own, until `share` finds that of the zoo."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    @classmethod
    async def of_zoo(cls, client: aioredis.Redis, keys: Keys) -> "DecisionTokens | None":
        """Under the zoo's key; None while no router has shared one."""
        found = await cast(Awaitable[bytes | None], client.get(keys.secret))
        return None if found is None else cls(found)

    async def share(self, client: aioredis.Redis, keys: Keys) -> None:
        """Takes the zoo's key from Redis; where it has none, that is this one from now on."""
        await cast(Awaitable[object], client.set(keys.secret, self._key, nx=True))
        self._key = cast(bytes, await cast(Awaitable[object], client.get(keys.secret))) or self._key

    def mint(self, request_id: str) -> str:
        """The decision id of a request: 32 hexadecimal digits."""
        return hashlib.blake2b(request_id.encode(), key=self._key, digest_size=_TOKEN_BYTES).hexdigest()

    def matches(self, request_id: str, decision_id: str) -> bool:
        """Whether `decision_id` is that of `request_id`, in constant time."""
        return hmac.compare_digest(self.mint(request_id).encode(), decision_id.encode())
