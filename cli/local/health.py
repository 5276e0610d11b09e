"""Whether a process of the local system answers yet."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import redis.asyncio as aioredis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc
from redis.exceptions import RedisError

Probe = Callable[[], Awaitable[bool]]
"""Says once whether a process is ready."""

POLL_SECONDS = 0.05
_CALL_SECONDS = 1.0
_QUICK_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_http_proxy", 0),
)


async def grpc_serves(address: str, service: str = "") -> bool:
    """Whether the standard health service at `address` says SERVING of this service name."""
    async with grpc.aio.insecure_channel(address, options=_QUICK_RECONNECT) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its published types lack the methods
        with suppress(grpc.aio.AioRpcError):
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_CALL_SECONDS)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
    return False


async def router_sees(address: str, model_ids: frozenset[str]) -> bool:
    """Whether the router at `address` serves and has found a worker of each of these models."""
    if not await grpc_serves(address):
        return False
    async with grpc.aio.insecure_channel(address, options=_QUICK_RECONNECT) as channel:
        stub = router_service_pb2_grpc.RouterServiceStub(channel)
        with suppress(grpc.aio.AioRpcError):
            reply = await stub.ListModels(router_service_pb2.ListModelsRequest(), timeout=_CALL_SECONDS)
            return model_ids <= {model.model_id for model in reply.models if model.ready}
    return False


async def redis_answers(url: str) -> bool:
    """Whether the server at `url` answers PING; a server that still loads its file does not."""
    client = aioredis.Redis.from_url(url, socket_timeout=_CALL_SECONDS, socket_connect_timeout=_CALL_SECONDS)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def until_ready(probe: Probe) -> None:
    """Returns once `probe` says yes."""
    while True:
        if await probe():
            return
        await asyncio.sleep(POLL_SECONDS)
