"""`python -m bench.run tracing`: what tracing every call costs `Decide`, against the same router without."""

import sys
from pathlib import Path

from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2

from bench.decide import CLIENT_CORE, IN_FLIGHT, MODELS, PROMPT, ROUTER_CORE, WARM_UP
from bench.load import h2load
from bench.report import Row
from bench.system import System, running_system
from cli.local.ports import free_addresses, free_ports

REQUESTS, ROUNDS = 10_000, 5


def measure(folder: Path) -> list[Row]:
    """Two routers on one core take turns; each round gives a ratio, the median counts."""
    with running_system(folder, MODELS, ROUTER_CORE, CLIENT_CORE) as system:
        plain = str(system.zoo["router_addresses"][0])  # type: ignore[index]
        traced = _start_traced(system)
        for address in (plain, traced):
            _rate(system, address, WARM_UP)
        ratios = []
        for _ in range(ROUNDS):
            without = _rate(system, plain, REQUESTS)
            ratios.append(_rate(system, traced, REQUESTS) / without)
        system.stop_first("traced")
        system.stop()
        spans = int((folder / "receiver.log").read_text().split()[0])
    expected = WARM_UP + ROUNDS * REQUESTS
    return [
        Row("Decide traced at 100 % / not traced, throughput", sorted(ratios)[ROUNDS // 2], "", ">=", 0.88),
        Row("spans received / calls", spans / expected, "", ">=", 1),
    ]


def _start_traced(system: System) -> str:
    (port,), (address,) = free_ports(1), free_addresses(1)
    system.start("receiver", [sys.executable, "-m", "bench.otlp_receiver", str(port)], CLIENT_CORE)
    endpoint = f"http://127.0.0.1:{port}"
    system.start_service(
        "traced", "router", ROUTER_CORE, MESSPLUS_ADDRESS=address, MESSPLUS_OTLP_ENDPOINT=endpoint
    )
    system.wait_ready("traced", address)
    return address


def _rate(system: System, address: str, requests: int) -> float:
    request = router_service_pb2.DecideRequest(prompt=common_pb2.Prompt(text=PROMPT))
    method = "messplus.router.v1.RouterService/Decide"
    return h2load(address, method, request, requests, IN_FLIGHT, CLIENT_CORE, system.folder).per_second
