"""Request, route, generate, energy, label, changed learner state: over SmolLM2 and an echo model."""

import json
from collections.abc import Iterator
from typing import TypeVar

import grpc
import pytest
from google.protobuf import duration_pb2
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc
from messplus.router.v1 import router_service_pb2
from typer.testing import CliRunner

from cli.main import app
from services.core.events import EnergyAttributed, Label, Outcome, Role
from tests.e2e.local_system import ECHO, SMOLLM, LocalSystem, generate, request, running, wait_for, zoo_data

ALWAYS_EXPLORE = {"name": "messplus-2025", "parameters": {"exploration_scale": 100.0, "energy_weight": 0.05}}
PROMPTS = 6
EventT = TypeVar("EventT")

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    with running(tmp_path_factory.mktemp("learning"), zoo_data([SMOLLM, ECHO], ALWAYS_EXPLORE)) as local:
        yield local


def labelled(system: LocalSystem, count: int) -> router_service_pb2.SlaStatus:
    def reached() -> router_service_pb2.SlaStatus | None:
        (status,) = system.router().GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=5).classes
        return status if status.labelled >= count else None

    found: router_service_pb2.SlaStatus = wait_for(reached, 20, f"{count} labelled requests")
    return found


def test_a_request_is_routed_answered_measured_judged_and_learned_from(system: LocalSystem) -> None:
    router = system.router()
    replies = [
        generate(router, request(f"Say the word lighthouse {i}", "lighthouse")) for i in range(PROMPTS)
    ]
    assert all(reply.decision.model_id == "echo" for reply in replies), "exploring serves the largest model"
    assert all("lighthouse" in reply.text for reply in replies)
    assert all(reply.finished.usage.completion_tokens > 0 for reply in replies)

    status = labelled(system, PROMPTS)
    assert (status.steps, status.mean_satisfaction, status.explorations) == (PROMPTS, 1.0, PROMPTS)
    ids = {reply.decision.request_id for reply in replies}
    wait_for(lambda: len(of(system, EnergyAttributed)) >= 2 * PROMPTS, 20, "energy of both models' answers")
    energy = of(system, EnergyAttributed)
    assert {(e.request_id, e.model_id) for e in energy} == {(i, m) for i in ids for m in ("smollm", "echo")}
    assert all(e.energy_joules > 0 and e.quality == "MODELLED" for e in energy if e.model_id == "smollm")
    roles = [(outcome.model_id, outcome.role) for outcome in of(system, Outcome)]
    assert sorted(roles, key=str) == sorted(
        [("echo", Role.SERVED), ("smollm", Role.EXPLORED)] * PROMPTS, key=str
    )
    wait_for(lambda: len(of(system, Label)) >= 2 * PROMPTS, 20, "labels of both models' answers")
    assert len(of(system, Label)) == 2 * PROMPTS


def test_learning_changes_the_next_decision(system: LocalSystem) -> None:
    labelled(system, PROMPTS)
    first = system.decisions()[0]

    def decided_on_newer_state() -> bool:
        reply = generate(system.router(), request("Say the word lighthouse again", "lighthouse"))
        return reply.decision.snapshot_version > first.snapshot_version

    wait_for(decided_on_newer_state, 20, "a decision on a newer snapshot")
    last = system.decisions()[-1]
    assert last.satisfaction_means != first.satisfaction_means
    assert last.energy_joules != first.energy_joules


def test_a_client_labels_its_answer_and_nobody_elses(system: LocalSystem) -> None:
    reply = generate(system.router(), request("Say hello"))
    channel = grpc.insecure_channel(system.zoo.feedback_address)
    system.channels.append(channel)
    feedback = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
    verdict = feedback_service_pb2.SubmitFeedbackRequest(
        request_id=reply.decision.request_id, decision_id="0" * 32, satisfied=False
    )
    with pytest.raises(grpc.RpcError) as refused:
        feedback.SubmitFeedback(verdict, timeout=5)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    verdict.decision_id = reply.decision.decision_id
    assert feedback.SubmitFeedback(verdict, timeout=5).satisfaction == 0.0


def test_status_shows_it(system: LocalSystem) -> None:
    labelled(system, PROMPTS)
    result = CliRunner().invoke(app, ["status", "--zoo", str(system.zoo_file)])
    assert result.exit_code == 0, result.output
    for words in ("standard", "smollm", "echo", "J measured", "labels learned"):
        assert words in " ".join(result.output.split())


def test_explain_says_why_a_request_went_where_it_went(system: LocalSystem) -> None:
    reply = generate(system.router(), request("Say hello once more"))
    command = ["explain", reply.decision.request_id, "--zoo", str(system.zoo_file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert f"Request {reply.decision.request_id}: echo for SLA class standard, alpha = 0.6" in output
    assert "Policy messplus-2025, snapshot" in output
    assert "V = 0.05 1/J, queue Q = " in output
    assert "to learn: every eligible model answers" in output
    answer = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert [(one["model_id"], one["chosen"]) for one in answer["scores"]] == [
        ("smollm", False),
        ("echo", True),
    ]


def test_the_balance_of_every_meter_closes(system: LocalSystem) -> None:
    channel = grpc.insecure_channel(system.zoo.energy.address)
    system.channels.append(channel)
    energy = energy_service_pb2_grpc.EnergyServiceStub(channel)
    watch = energy.WatchPower(
        energy_service_pb2.WatchPowerRequest(interval=duration_pb2.Duration(seconds=1)), timeout=20
    )
    meters = next(iter(watch)).meters
    watch.cancel()
    assert meters
    for meter in meters:
        total = meter.attributed_joules + sum(meter.unattributed_joules.values())
        assert total == pytest.approx(meter.measured_joules, abs=1e-6)


def of(system: LocalSystem, kind: type[EventT]) -> list[EventT]:
    return [event for event in system.events() if isinstance(event, kind)]
