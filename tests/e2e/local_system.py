"""A whole system as a user runs it: `messplus up` on a zoo with free ports, and what a test asks of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import redis
import yaml
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc

from cli.local.ports import free_addresses
from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.zoo import Zoo
from services.common.zoo_file import parse_zoo
from services.core.events import Decision, Event

MESSPLUS = Path(sys.executable).parent / "messplus"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SMOLLM = {"id": "smollm", "source": "smollm2-135m", "prior": {"satisfaction": 0.3, "energy_joules": 2.0}}
ECHO = {"id": "echo", "engine": "echo", "prior": {"satisfaction": 0.9, "energy_joules": 4.0}}


def zoo_data(models: list[dict[str, Any]], policy: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A zoo of one worker per model on free ports."""
    router, feedback, energy, *workers = free_addresses(3 + len(models))
    return {
        "name": "e2e",
        "models": models,
        "workers": [{"model": m["id"], "address": a} for m, a in zip(models, workers, strict=True)],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.6}],
        "policy": policy,
        "energy": {"address": energy},
        "router_addresses": [router],
        "feedback_address": feedback,
        **more,
    }


def write_zoo(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "zoo.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what}"
        time.sleep(0.05)
    return value


class LocalSystem:
    """A running `messplus up`."""

    def __init__(self, folder: Path, data: dict[str, Any], *options: str) -> None:
        self.zoo: Zoo = parse_zoo(data, "test")
        self.zoo_file, self.data_dir = write_zoo(folder, data), folder / "data"
        command = [
            str(MESSPLUS),
            "up",
            "--zoo",
            str(self.zoo_file),
            "--data-dir",
            str(self.data_dir),
            *options,
        ]
        self.output = folder / "up.log"
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.store = redis.Redis(unix_socket_path=str(self.data_dir / "valkey.sock"))
        self.channels: list[grpc.Channel] = []

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return "Ready after" in self.output.read_text()

        wait_for(ready, START_SECONDS, f"ready; {self.output.read_text()}")

    def pids(self) -> dict[str, int]:
        return dict(json.loads((self.data_dir / "processes.json").read_text()))

    def send(self, service: str, number: int) -> int:
        pid = self.pids()[service]
        os.kill(pid, number)
        return pid

    def wait_restarted(self, service: str, old_pid: int) -> None:
        wait_for(lambda: self.pids()[service] != old_pid, 10, f"{service} started again")

    def router(self, address: str = "") -> "router_service_pb2_grpc.RouterServiceStub":
        channel = grpc.insecure_channel(address or self.zoo.router_addresses[0])
        self.channels.append(channel)
        return router_service_pb2_grpc.RouterServiceStub(channel)

    def events(self) -> list[Event]:
        entries: Any = self.store.xrange(Keys(self.zoo.name).events)
        return [decode_entry(entry_id, fields).event for entry_id, fields in entries]

    def decisions(self) -> list[Decision]:
        return [event for event in self.events() if isinstance(event, Decision)]

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(STOP_SECONDS)
        self.close()
        return status

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self.store.close()


@contextmanager
def running(folder: Path, data: dict[str, Any], *options: str) -> Iterator[LocalSystem]:
    system = LocalSystem(folder, data, *options)
    try:
        system.wait_ready()
        yield system
    finally:
        if system.process.poll() is None:
            system.stop(signal.SIGTERM)
        system.close()


def request(text: str, reference: str = "", **sampling: Any) -> router_service_pb2.GenerateRequest:
    """A prompt, labelled by whether the answer contains `reference` where one is given."""
    labeling = router_service_pb2.LabelingOptions(
        reference=common_pb2.ReferenceAnswer(text=reference, metric="contains")
    )
    return router_service_pb2.GenerateRequest(
        prompt=common_pb2.Prompt(text=text),
        sampling=common_pb2.SamplingParameters(**{"max_tokens": 16, "temperature": 0.0} | sampling),
        labeling=labeling if reference else None,
    )


class Reply:
    """A whole answer of the router."""

    def __init__(self, responses: list[router_service_pb2.GenerateResponse]) -> None:
        self.decision = responses[0].decision
        self.text = "".join(r.delta.text for r in responses if r.WhichOneof("event") == "delta")
        self.finished = responses[-1].finished


def generate(
    stub: "router_service_pb2_grpc.RouterServiceStub", message: router_service_pb2.GenerateRequest
) -> Reply:
    return Reply(list(stub.Generate(message, timeout=60)))
