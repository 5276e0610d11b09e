"""`Decide` against a bare echo: throughput, CPU per request, latency at one in flight."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import redis
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2

from bench.load import Load, h2load
from bench.report import Row
from bench.system import System, running_system
from cli.local.ports import free_ports

MODELS, WARM_UP, REQUESTS, IN_FLIGHT, ROUTER_CORE, CLIENT_CORE = 10, 2000, 20_000, 64, 0, 1
PROMPT = (
    "A farmer has seventeen sheep and buys three times as many goats. Half of the goats are sold at the "
    "market on Friday, and two sheep get lost in the hills. How many animals does the farmer have at the end?"
)


@dataclass(frozen=True)
class Server:
    """A server under load: where it is and how its CPU-seconds are read."""

    process: str
    address: str
    method: str


def measure(folder: Path) -> list[Row]:
    """Runs echo and router in turn, three times each, and keeps the median of each ratio."""
    request = router_service_pb2.DecideRequest(prompt=common_pb2.Prompt(text=PROMPT))
    with running_system(folder, MODELS, ROUTER_CORE, CLIENT_CORE) as system:
        echo = _start_echo(system)
        router = Server(
            "router", str(system.zoo["router_addresses"][0]), "messplus.router.v1.RouterService/Decide"
        )
        for server in (echo, router):
            _run(system, server, request, WARM_UP, IN_FLIGHT)
        rounds = [(_round(system, echo, request), _round(system, router, request)) for _ in range(3)]
        expected = WARM_UP + len(rounds) * (REQUESTS + REQUESTS // 10)
        logged = _wait_for_decisions(system, expected)
    busy_ratio = sorted(r.cpu / e.cpu for e, r in rounds)[1]
    idle_ratio = sorted(r.single.median_microseconds / e.single.median_microseconds for e, r in rounds)[1]
    rate = sorted(r.busy.per_second for _, r in rounds)[1]
    echo_rate = sorted(e.busy.per_second for e, _ in rounds)[1]
    return [
        Row("Decide, 64 in flight", rate, "requests/s", ">=", 2000),
        Row("bare echo, 64 in flight (yardstick)", echo_rate, "requests/s", ">=", 0),
        Row("CPU per Decide / CPU per echo", busy_ratio, "", "<=", 2.2),
        Row("p50 of Decide / p50 of echo, one in flight", idle_ratio, "", "<=", 2.5),
        Row("decisions in the log / OK replies", logged / expected, "", "==", 1),
    ]


@dataclass(frozen=True)
class _Round:
    busy: Load
    single: Load
    cpu: float


def _start_echo(system: System) -> Server:
    (port,) = free_ports(1)
    system.start("echo", [sys.executable, "-m", "bench.echo_server", str(port)], ROUTER_CORE)
    time.sleep(1)
    return Server("echo", f"127.0.0.1:{port}", "bench.Echo/Echo")


def _run(
    system: System, server: Server, request: router_service_pb2.DecideRequest, count: int, in_flight: int
) -> Load:
    return h2load(server.address, server.method, request, count, in_flight, CLIENT_CORE, system.folder)


def _round(system: System, server: Server, request: router_service_pb2.DecideRequest) -> _Round:
    began = system.cpu_seconds(server.process)
    busy = _run(system, server, request, REQUESTS, IN_FLIGHT)
    cpu = (system.cpu_seconds(server.process) - began) / REQUESTS
    return _Round(busy, _run(system, server, request, REQUESTS // 10, 1), cpu)


def _decisions(system: System) -> int:
    with redis.Redis.from_url(system.redis_url) as client:
        return int(client.hget(f"messplus:{{{system.zoo['name']}}}:class:standard", "step") or 0)


def _wait_for_decisions(system: System, expected: int) -> int:
    deadline = time.monotonic() + 10
    while _decisions(system) < expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return _decisions(system)
