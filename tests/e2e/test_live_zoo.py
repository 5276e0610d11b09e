"""A running system whose zoo changes: `messplus reload` under load, and what it refuses. Echo models."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import yaml
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc
from messplus.router.v1 import router_service_pb2

from cli.local.ports import free_addresses
from tests.e2e.local_system import (
    MESSPLUS,
    LocalSystem,
    Reply,
    alive,
    generate,
    request,
    running,
    wait_for,
    zoo_data,
)

# The new model promises more than the kept one for a hundredth of its joules, so it must be tried.
OLD, KEPT, NEW = (
    {"id": model_id, "engine": "echo", "prior": {"satisfaction": satisfaction, "energy_joules": joules}}
    for model_id, satisfaction, joules in (("old", 0.8, 1.0), ("kept", 0.85, 5.0), ("new", 0.99, 0.05))
)
STRICT = {"name": "strict", "min_satisfaction": 0.7}
BEFORE = 40
AFTER = 60


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return zoo_data([OLD, KEPT], {"name": "pacer"})


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> Iterator[LocalSystem]:
    with running(tmp_path_factory.mktemp("live-zoo"), data) as local:
        yield local


def reload(system: LocalSystem, data: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    system.zoo_file.write_text(yaml.safe_dump(data, sort_keys=False))
    command = [str(MESSPLUS), "reload", "--zoo", str(system.zoo_file), "--data-dir", str(system.data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def asked(text: str, sla_class: str = "") -> router_service_pb2.GenerateRequest:
    message = request(text, "ping")
    message.routing.sla_class = sla_class
    return message


def labels_learned(system: LocalSystem) -> int:
    with grpc.insecure_channel(system.zoo.feedback_address) as channel:
        stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        status = stub.GetLearnerStatus(feedback_service_pb2.GetLearnerStatusRequest(), timeout=5)
    return int(status.labels_learned)


def classes(system: LocalSystem) -> dict[str, router_service_pb2.SlaStatus]:
    status = system.router().GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=5)
    return {found.sla_class: found for found in status.classes}


class Load:
    """A client that asks without a pause; its `replies` are all that it got, an error ends it."""

    def __init__(self, system: LocalSystem) -> None:
        self.replies: list[Reply] = []
        self.error: grpc.RpcError | None = None
        self._stub, self._stop = system.router(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.replies.append(generate(self._stub, asked("ping during the change")))
            except grpc.RpcError as error:
                self.error = error
                return

    def __enter__(self) -> "Load":
        self._thread.start()
        wait_for(lambda: len(self.replies) >= 5, 20, "first answers")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)


def test_models_and_classes_come_and_go_under_load(system: LocalSystem, data: dict[str, Any]) -> None:
    first = [generate(system.router(), asked(f"ping {i}")) for i in range(BEFORE)]
    assert "old" in {reply.decision.model_id for reply in first}
    wait_for(lambda: labels_learned(system) >= BEFORE, 20, "labels of all answers")
    learned, pids = labels_learned(system), system.pids()
    (new_address,) = free_addresses(1)
    changed = data | {
        "models": [NEW, KEPT],
        "workers": [{"model": "new", "address": new_address}, data["workers"][1]],
        "sla_classes": [*data["sla_classes"], STRICT],
    }
    with Load(system) as load:
        result = reload(system, changed)
        count = len(load.replies)
        wait_for(lambda: len(load.replies) >= count + 20 or load.error, 20, "answers after the change")
    assert result.returncode == 0, result.stderr + system.output.read_text()
    assert result.stdout.strip() == "The changed zoo serves: new, kept"
    assert load.error is None
    assert not alive(pids["worker-old"])
    now = system.pids()
    assert now.keys() == {"valkey", "energy", "feedback", "router", "worker-new", "worker-kept"}
    assert {name: pid for name, pid in now.items() if name != "worker-new"} == {
        name: pid for name, pid in pids.items() if name != "worker-old"
    }, "nothing else was started again"
    after = [generate(system.router(), asked(f"ping {i}", "strict")) for i in range(AFTER)]
    assert "new" in {reply.decision.model_id for reply in (*load.replies[count:], *after)}
    assert "old" not in {reply.decision.model_id for reply in (*load.replies[count:], *after)}
    total = BEFORE + len(load.replies) + AFTER
    wait_for(lambda: labels_learned(system) >= total, 20, "labels of all answers, those before included")
    assert labels_learned(system) == total > learned
    wait_for(lambda: classes(system)["strict"].labelled == AFTER, 20, "the new class in the snapshot")
    standard = classes(system)["standard"]
    assert (standard.steps, standard.labelled) == (total - AFTER, total - AFTER)
    assert set(standard.model_shares) == {"new", "kept"}
    assert json.loads(system.store.hget("messplus:{e2e}:learner", "control"))["models"] == ["new", "kept"]
    dead = json.loads(system.store.hget("messplus:{e2e}:learner", "control"))["counters"]["dead_events"]
    assert dead == 0


def test_what_takes_a_restart_and_what_is_wrong_are_refused(
    system: LocalSystem, data: dict[str, Any]
) -> None:
    running_zoo = yaml.safe_load(system.zoo_file.read_text())
    moved = running_zoo | {"policy": {"name": "messplus-2025"}, "features": "embedding"}
    result = reload(system, moved)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["features = embedding", "policy.name = messplus-2025"]
    assert "restart" in result.stderr
    wrong = reload(system, running_zoo | {"sla_classes": [{"name": "standard", "min_satisfaction": 7}]})
    assert wrong.returncode == 2
    assert "sla_classes[0].min_satisfaction" in wrong.stderr
    # The services refuse a wrong file themselves, whoever sends the signal.
    for name, pid in system.pids().items():
        if name != "valkey":
            os.kill(pid, signal.SIGHUP)
    log = system.data_dir / "logs" / "router.log"
    wait_for(lambda: "the zoo stays as it is" in log.read_text(), 10, "the router's refusal")
    assert generate(system.router(), asked("ping", "strict")).text
    assert reload(system, running_zoo).returncode == 0


def test_without_a_system_it_says_so(tmp_path: Any, data: dict[str, Any]) -> None:
    file = tmp_path / "zoo.yaml"
    file.write_text(yaml.safe_dump(data))
    command = [str(MESSPLUS), "reload", "--zoo", str(file), "--data-dir", str(tmp_path / "nothing")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "start it with `messplus up`" in result.stderr
