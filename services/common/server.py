"""What every service does around its own work: serve gRPC, report health, drain, and end cleanly."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.rpc import TolerantServer
from services.common.settings import ServiceSettings
from services.common.telemetry import start_telemetry
from services.core.errors import ConfigError, ConfigProblem, MessPlusError

MAX_MESSAGE_BYTES = 1 << 20
"""Requests above this are refused with INVALID_ARGUMENT (`rpc`), above the hard limit by gRPC itself."""
_HARD_MESSAGE_BYTES = 4 * MAX_MESSAGE_BYTES
EXIT_CONFIG = 2
_CANCEL_AGAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)

_OPTIONS = (
    ("grpc.max_receive_message_length", _HARD_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class ServiceServer:
    """A gRPC server with standard health and reflection that drains before it stops.

    Register servicers with `tolerant`, so that bytes that are no message become INVALID_ARGUMENT.
    """

    def __init__(self, address: str, service_names: Sequence[str], drain_seconds: float) -> None:
        self.server = grpc.aio.server(options=_OPTIONS)
        self.tolerant: Any = TolerantServer(self.server, MAX_MESSAGE_BYTES)
        self._health = health.aio.HealthServicer()
        self._names = (*service_names, "")
        self._address, self._drain_seconds, self._zoo_name = address, drain_seconds, ""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        reflection.enable_server_reflection(
            [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], self.server
        )
        self.port = 0

    async def start(self) -> None:
        """Binds and serves, not yet ready. Raises ConfigError when the address cannot be had."""
        await self.set_ready(False)
        try:
            self.port = self.server.add_insecure_port(self._address)
        except RuntimeError:
            problem = ConfigProblem(
                "network", "address", self._address, "cannot be bound: is the port taken by another process?"
            )
            raise ConfigError([problem]) from None
        await self.server.start()

    async def set_ready(self, ready: bool) -> None:
        """Reports SERVING or NOT_SERVING."""
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)

    async def tell_zoo(self, name: str) -> None:
        """Reports SERVING under this name as well, and no more under that of the zoo before."""
        if self._zoo_name:
            await self._health.set(self._zoo_name, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        self._zoo_name = name
        await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Refuses new calls, waits for running ones up to the drain time, then cancels them."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(self._drain_seconds)


async def wait_for_stop_signal() -> None:
    """Returns at SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def cancel(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    """Cancels background tasks and waits until they have ended.

    It asks again: `asyncio.wait_for` of Python 3.11, which redis-py sends commands with, swallows a
    cancellation that comes just as its work ends, and the task would go on for ever.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
    for task in tasks:
        with suppress(asyncio.CancelledError):
            task.result()


def forever(
    name: str, body: Callable[[], Awaitable[None]], retry_seconds: float = 1.0
) -> "asyncio.Task[None]":
    """A background task that runs `body` again and again; a failure is logged and followed by a pause."""

    async def run() -> None:
        while True:
            try:
                await body()
            except MessPlusError as error:
                _log.warning("%s: %s; retrying", name, error)
                await asyncio.sleep(retry_seconds)
            except Exception:
                _log.exception("%s failed; retrying", name)
                await asyncio.sleep(retry_seconds)

    return asyncio.create_task(run(), name=name)


def run_service(
    name: str,
    read: Callable[[], ServiceSettings],
    serve: Callable[[Any], Coroutine[Any, Any, None]],
) -> None:
    """Runs a service as a process: settings, log, telemetry, then `serve(settings)` until it returns.

    A wrong configuration prints every problem and ends the process with status 2.
    """
    try:
        settings = read()
        logging.basicConfig(
            level=settings.log_level, format=f"%(asctime)s %(levelname)s {name} %(name)s: %(message)s"
        )
        stop_telemetry = start_telemetry(name, settings)
        try:
            _run(serve(settings))
        finally:
            stop_telemetry()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_CONFIG) from None


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)
