"""What clients see, and what the log holds, when parts of the system die. Echo models."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from messplus.router.v1 import router_service_pb2

from cli.local.ports import free_addresses
from services.core.events import Redecision
from tests.e2e.local_system import ECHO, LocalSystem, Reply, generate, request, running, wait_for, zoo_data

SLOW = {"id": "slow", "engine": "echo", "echo_tokens_per_second": 4.0}
ALWAYS_SLOW = {"name": "single:slow"}
OUTAGE_SECONDS = 8.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    folder = tmp_path_factory.mktemp("failures")
    zoo = zoo_data([ECHO, SLOW], ALWAYS_SLOW, router_addresses=free_addresses(2))
    with running(folder, zoo, "--routers", "2") as local:
        yield local


def router_places(system: LocalSystem) -> list[str]:
    host, _, port = system.zoo.router_addresses[0].rpartition(":")
    line = next(line for line in system.output.read_text().splitlines() if "Ready after" in line)
    places = line.split("Router: ")[1].split(", ")
    assert places[0] == f"{host}:{port}"
    assert len(places) == 2
    return places


def wait_model_ready(system: LocalSystem, model_id: str) -> None:
    def ready() -> bool:
        models = system.router().ListModels(router_service_pb2.ListModelsRequest(), timeout=5).models
        return any(model.model_id == model_id and model.ready for model in models)

    wait_for(ready, 20, f"{model_id} is ready again")


def test_two_routers_number_decisions_without_gap_or_repeat(system: LocalSystem) -> None:
    stubs = [system.router(place) for place in router_places(system)]
    before = len(system.decisions())
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda i: generate(stubs[i % 2], request(f"ping {i}", "ping")), range(60)))
    wait_for(lambda: len(system.decisions()) == before + 60, 10, "all decisions in the log")
    decisions = system.decisions()
    assert [decision.step for decision in decisions] == list(range(1, len(decisions) + 1))
    assert {d.router_id for d in decisions} == {"router-1", "router-2"}
    assert {r.decision.request_id for r in replies} <= {d.request_id for d in decisions}


def test_both_routers_come_to_the_same_state(system: LocalSystem) -> None:
    stubs = [system.router(place) for place in router_places(system)]
    steps = len(system.decisions())

    def agree() -> bool:
        seen = [s.GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=5).classes[0] for s in stubs]
        return seen[0] == seen[1] and seen[0].steps == steps and seen[0].labelled >= 60

    wait_for(agree, 15, "both routers report the same")


def test_a_worker_killed_after_its_first_token_is_reported(system: LocalSystem) -> None:
    call = system.router().Generate(request("one two three four five six seven eight nine ten"), timeout=30)
    responses = iter(call)
    assert next(responses).decision.model_id == "slow"
    assert next(responses).delta.text.strip() == "one"
    pid = system.send("worker-slow", signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as broken:
        list(responses)
    status = rpc_status.from_call(broken.value)
    assert broken.value.code() is grpc.StatusCode.UNAVAILABLE
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.metadata["model_id"] == "slow"
    assert int(info.metadata["tokens_sent"]) >= 1
    system.wait_restarted("worker-slow", pid)
    wait_model_ready(system, "slow")


def test_a_worker_killed_before_its_first_token_is_replaced(system: LocalSystem) -> None:
    pid = system.send("worker-slow", signal.SIGSTOP)
    answers: list[Reply] = []
    client = threading.Thread(
        target=lambda: answers.append(generate(system.router(), request("still an answer")))
    )
    before = len(system.decisions())
    client.start()
    wait_for(lambda: len(system.decisions()) > before, 10, "the decision for the stopped worker")
    system.send("worker-slow", signal.SIGKILL)
    client.join(30)
    assert [reply.text for reply in answers] == ["still an answer"]
    redecided = [event for event in system.events() if isinstance(event, Redecision)]
    assert (redecided[-1].failed_model_id, redecided[-1].model_id) == ("slow", "echo")
    system.wait_restarted("worker-slow", pid)
    wait_model_ready(system, "slow")


def test_a_killed_learner_comes_back_and_loses_nothing(system: LocalSystem) -> None:
    router = system.router()
    before = router.GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=5).classes[0]
    pid = system.send("feedback", signal.SIGKILL)
    for i in range(5):
        generate(router, request(f"tick {i}", "tick"))
    system.wait_restarted("feedback", pid)

    def learned() -> bool:
        now = router.GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=5).classes[0]
        return bool(now.labelled == before.labelled + 5)

    wait_for(learned, 30, "exactly the five labels given meanwhile")


def test_requests_go_on_without_the_store_and_are_in_the_log_once_afterwards(system: LocalSystem) -> None:
    router = system.router()
    generate(router, request("before"))
    pid = system.send("valkey", signal.SIGSTOP)
    deadline, replies = time.monotonic() + OUTAGE_SECONDS, []
    while time.monotonic() < deadline:
        replies.append(generate(router, request(f"meanwhile {len(replies)}")))
    system.send("valkey", signal.SIGKILL)
    system.wait_restarted("valkey", pid)
    assert replies
    assert any(reply.decision.degraded for reply in replies)
    ids = {reply.decision.request_id for reply in replies}

    def appended() -> bool:
        try:
            return ids <= {decision.request_id for decision in system.decisions()}
        except OSError:
            return False

    wait_for(appended, 30, "the buffered decisions in the log")

    def healthy() -> bool:
        return not generate(router, request("after")).decision.degraded

    wait_for(healthy, 30, "no longer degraded")
    counts = Counter(decision.request_id for decision in system.decisions())
    assert set(counts.values()) == {1}
    steps = [decision.step for decision in system.decisions()]
    assert steps == list(range(1, len(steps) + 1))
