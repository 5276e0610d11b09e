"""Every RPC of the router by a real client: answers, failures with their details, what the log then holds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb

from services.core.events import EnergyAttributed, Outcome, Redecision, Role
from tests.contract.router_system import (
    ScriptedWorker,
    System,
    generated,
    running_router,
    serving,
    zoo_of,
)

PROMPT = common_pb2.Prompt(text="What is 6 times 7?")
EXPLORER = {"name": "messplus-2025", "parameters": {"exploration_scale": 1e6}}


@pytest.fixture
async def workers() -> AsyncIterator[list[ScriptedWorker]]:
    pair = [ScriptedWorker("small"), ScriptedWorker("large", ("for", "ty-two"))]
    async with serving(pair[0]), serving(pair[1]):
        yield pair


@pytest.fixture
async def system(redis_url: str, tmp_path: Path, workers: list[ScriptedWorker]) -> AsyncIterator[System]:
    async with running_router(redis_url, tmp_path, zoo_of(workers)) as running:
        yield running


def details(error: grpc.aio.AioRpcError, kind: Any) -> Any:
    """The error's detail of this message type."""
    packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    for detail in status_pb2.Status.FromString(packed).details:
        message = kind()
        if detail.Unpack(message):
            return message
    raise AssertionError(f"no {kind.__name__}")


async def _read_to_the_end(call: Any) -> None:
    async for _ in call:
        pass


async def test_generate_streams_decision_text_and_end(system: System) -> None:
    decision, text, finished = await generated(system.stub, pb.GenerateRequest(prompt=PROMPT))
    assert (decision.model_id, text) == ("small", "four two")
    assert not decision.degraded
    assert decision.decision_id == finished.decision_id
    assert finished.usage.completion_tokens == 3
    assert finished.energy.quality == common_pb2.ENERGY_QUALITY_ESTIMATED
    await system.eventually(lambda: len(system.events()) == 2)
    logged, outcome = system.events()
    assert logged.request_id == decision.request_id
    assert isinstance(outcome, Outcome)
    assert (outcome.role, outcome.generation_id) == (Role.SERVED, decision.generation_id)


async def test_decide_report_and_explain(system: System) -> None:
    reply = await system.stub.Decide(pb.DecideRequest(prompt=PROMPT))
    report = pb.ReportOutcomeRequest(
        request_id=reply.decision.request_id,
        decision_id=reply.decision.decision_id,
        model_id="small",
        latency=Duration(seconds=1),
        finish_reason=common_pb2.FINISH_REASON_STOP,
        energy_joules=2.5,
    )
    assert (await system.stub.ReportOutcome(report)).log_position
    report.decision_id = "0" * 32
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await system.stub.ReportOutcome(report)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    explained = await system.stub.ExplainDecision(
        pb.ExplainDecisionRequest(request_id=reply.decision.request_id)
    )
    assert explained.decision.model_id == "small"
    assert [score.model_id for score in explained.scores] == ["small", "large"]
    assert "small" in explained.reason
    assert {type(e) for e in system.events()[-2:]} <= {Outcome, EnergyAttributed, type(system.decisions()[0])}
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await system.stub.ExplainDecision(pb.ExplainDecisionRequest(request_id="never-seen"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_models_and_status(system: System) -> None:
    await system.stub.Decide(pb.DecideRequest(prompt=PROMPT))
    models = (await system.stub.ListModels(pb.ListModelsRequest())).models
    assert [(m.model_id, m.ready) for m in models] == [("small", True), ("large", True)]
    status = (await system.stub.GetSlaStatus(pb.GetSlaStatusRequest(sla_class="standard"))).classes[0]
    assert status.steps == 1
    assert status.decision_debt == pytest.approx(0.1)
    watch = system.stub.WatchSlaStatus(pb.WatchSlaStatusRequest(interval=Duration(nanos=100_000_000)))
    assert (await watch.read()).status.classes[0].steps == 1
    assert (await watch.read()).status.classes[0].sla_class == "standard"
    watch.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await system.stub.GetSlaStatus(pb.GetSlaStatusRequest(sla_class="gold"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_all_wrong_fields_are_named_at_once(system: System) -> None:
    request = pb.GenerateRequest(
        request_id="not allowed!",
        prompt=common_pb2.Prompt(text=""),
        sampling=common_pb2.SamplingParameters(temperature=float("nan"), top_p=-1),
        routing=pb.RoutingOptions(sla_class="gold", min_satisfaction=1.5),
        labeling=pb.LabelingOptions(verifier=pb.Verifier(regex="(")),
    )
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generated(system.stub, request)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = details(error.value, error_details_pb2.BadRequest).field_violations
    assert {v.field for v in found} == {
        "request_id",
        "prompt.text",
        "sampling.temperature",
        "sampling.top_p",
        "routing.sla_class",
        "routing.min_satisfaction",
        "labeling.verifier.regex",
    }
    assert "standard" in next(v.description for v in found if v.field == "routing.sla_class")


@pytest.mark.parametrize(
    "body",
    [b"\x12\x04\x0a\x02\xff\xfe", b"\x12\xff", b"\x0a" + bytes(2 * (1 << 20))],
    ids=["utf8", "cut", "big"],
)
async def test_bytes_that_are_no_request_are_invalid_arguments(system: System, body: bytes) -> None:
    decide = system.channel.unary_unary("/messplus.router.v1.RouterService/Decide")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await decide(body)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(error.value, error_details_pb2.BadRequest).field_violations[0].field == "message"


async def test_a_repeated_request_id_generates_nothing(system: System, workers: list[ScriptedWorker]) -> None:
    request = pb.GenerateRequest(request_id="mine", prompt=PROMPT)
    first, again = await generated(system.stub, request), await generated(system.stub, request)
    assert (again[0].replayed, first[0].replayed) == (True, False)
    assert again[0].decision_id == first[0].decision_id
    assert again[1:] == first[1:]
    assert workers[0].generated == ["mine.0"]
    await system.eventually(lambda: len(system.decisions()) == 1)


async def test_a_repeat_of_a_running_request_waits_for_it(
    system: System, workers: list[ScriptedWorker]
) -> None:
    workers[0].tokens = ("a", "WAIT", "b")
    request = pb.GenerateRequest(request_id="slow", prompt=PROMPT)
    first = asyncio.create_task(generated(system.stub, request))
    await system.eventually(lambda: len(workers[0].generated) == 1)
    repeats = [asyncio.create_task(generated(system.stub, request)) for _ in range(3)]
    workers[0].go_on.set()
    assert {(await repeat)[1] for repeat in repeats} == {(await first)[1]} == {"ab"}
    assert len(workers[0].generated) == 1


async def test_decide_twice_is_counted_once(system: System) -> None:
    request = pb.DecideRequest(request_id="twice", prompt=PROMPT)
    first, again = await system.stub.Decide(request), await system.stub.Decide(request)
    assert again.decision.replayed
    assert again.decision.model_id == first.decision.model_id
    await system.eventually(lambda: len(system.decisions()) == 1)


async def test_a_worker_that_fails_first_is_replaced(system: System, workers: list[ScriptedWorker]) -> None:
    workers[0].fails_after = 0
    decision, text, _ = await generated(system.stub, pb.GenerateRequest(prompt=PROMPT))
    assert (decision.model_id, text) == ("large", "forty-two")
    await system.eventually(lambda: len(system.events()) == 4)
    kinds = {type(event) for event in system.events()}
    assert Redecision in kinds
    redecision = next(e for e in system.events() if isinstance(e, Redecision))
    assert redecision.generation_id == decision.generation_id
    roles = {(e.model_id, e.role) for e in system.events() if isinstance(e, Outcome)}
    assert roles == {("small", Role.FAILED), ("large", Role.SERVED)}
    debt = float(system.client.hget(system.keys.sla_class("standard"), "debt"))
    assert debt == pytest.approx(0.6 - redecision.charged_satisfaction)


async def test_a_worker_that_fails_midway_ends_the_answer(
    system: System, workers: list[ScriptedWorker]
) -> None:
    workers[0].fails_after = 1
    call = system.stub.Generate(pb.GenerateRequest(prompt=PROMPT))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await _read_to_the_end(call)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    info = details(error.value, error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"model_id": "small", "tokens_sent": "1"}
    await system.eventually(
        lambda: any(isinstance(e, Outcome) and e.role is Role.FAILED for e in system.events())
    )


async def test_busy_workers_mean_overload(system: System, workers: list[ScriptedWorker]) -> None:
    for worker in workers:
        worker.fails_after, worker.code = 0, grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generated(system.stub, pb.GenerateRequest(prompt=PROMPT))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details(error.value, error_details_pb2.RetryInfo).retry_delay.seconds == 1


async def test_broken_workers_mean_no_eligible_model(system: System, workers: list[ScriptedWorker]) -> None:
    for worker in workers:
        worker.fails_after = 0
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await generated(system.stub, pb.GenerateRequest(prompt=PROMPT))
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "told to fail" in details(error.value, error_details_pb2.ErrorInfo).metadata["large"]


async def test_a_client_that_leaves_stops_the_worker(system: System, workers: list[ScriptedWorker]) -> None:
    workers[0].tokens = ("a", "WAIT", "b")
    call = system.stub.Generate(pb.GenerateRequest(prompt=PROMPT))
    assert (await call.read()).WhichOneof("event") == "decision"
    call.cancel()
    await asyncio.wait_for(workers[0].cancelled.wait(), 10)
    await system.eventually(lambda: len(system.events()) == 2)
    outcome = system.events()[1]
    assert isinstance(outcome, Outcome)
    assert (outcome.role, outcome.finish_reason) == (Role.FAILED, "cancelled")


async def test_exploration_runs_every_model_and_keeps_texts_for_the_labeler(
    redis_url: str, tmp_path: Path, workers: list[ScriptedWorker]
) -> None:
    async with running_router(redis_url, tmp_path, zoo_of(workers, policy=EXPLORER)) as system:
        labeling = pb.LabelingOptions(reference=common_pb2.ReferenceAnswer(text="42"))
        decision, text, _ = await generated(system.stub, pb.GenerateRequest(prompt=PROMPT, labeling=labeling))
        assert decision.explored
        assert (decision.model_id, text) == ("large", "forty-two")
        await system.eventually(lambda: len(system.events()) == 3)
        outcomes = [e for e in system.events() if isinstance(e, Outcome)]
        assert {(o.model_id, o.role, o.wants_label) for o in outcomes} == {
            ("small", Role.EXPLORED, True),
            ("large", Role.SERVED, True),
        }
        stored = system.client.hgetall(system.keys.text(decision.request_id))
        answers = {key: value for key, value in stored.items() if key.startswith(b"answer:")}
        assert sorted(answers.values()) == [b"forty-two", b"four two"]
        assert stored[b"prompt"] == PROMPT.text.encode()
        assert pb.LabelingOptions.FromString(stored[b"labeling"]) == labeling
        assert stored[b"generations"] == b"2"


async def test_an_empty_labeling_keeps_the_texts_for_a_reference_that_comes_later(
    redis_url: str, tmp_path: Path, workers: list[ScriptedWorker]
) -> None:
    async with running_router(redis_url, tmp_path, zoo_of(workers)) as system:
        request = pb.GenerateRequest(prompt=PROMPT, labeling=pb.LabelingOptions())
        decision, text, _ = await generated(system.stub, request)
        await system.eventually(lambda: len(system.events()) == 2)
        stored = system.client.hgetall(system.keys.text(decision.request_id))
        assert stored[f"answer:{decision.generation_id}".encode()] == text.encode()
        plain, _, _ = await generated(system.stub, pb.GenerateRequest(prompt=PROMPT))
        await system.eventually(lambda: len(system.events()) == 4)
        assert not system.client.exists(system.keys.text(plain.request_id))


async def test_a_conversation_keeps_its_model(
    redis_url: str, tmp_path: Path, workers: list[ScriptedWorker]
) -> None:
    classes = [{"name": "chat", "min_satisfaction": 0.6, "sticky_conversations": True}]
    policy = {"name": "single:small"}
    async with running_router(
        redis_url, tmp_path, zoo_of(workers, sla_classes=classes, policy=policy)
    ) as system:
        system.client.set(system.keys.conversation("c1"), "large")
        routing = pb.RoutingOptions(conversation_id="c1")
        kept = await system.stub.Decide(pb.DecideRequest(prompt=PROMPT, routing=routing))
        routing.conversation_id = "c2"
        fresh = await system.stub.Decide(pb.DecideRequest(prompt=PROMPT, routing=routing))
        assert (kept.decision.model_id, fresh.decision.model_id) == ("large", "small")
        assert system.client.get(system.keys.conversation("c2")) == b"small"


async def test_strict_decisions_see_exactly_the_state_before_them(
    redis_url: str, tmp_path: Path, workers: list[ScriptedWorker]
) -> None:
    zoo = zoo_of(workers, routing={"consistency": "strict"})
    other = tmp_path / "other"
    other.mkdir()
    async with running_router(redis_url, tmp_path, zoo) as one, running_router(redis_url, other, zoo) as two:
        calls = [s.stub.Decide(pb.DecideRequest(prompt=PROMPT)) for _ in range(15) for s in (one, two)]
        steps = [(await call).decision.step for call in calls]
        assert sorted(steps) == list(range(1, 31))
        decisions = one.decisions()
        assert [d.step_seen for d in decisions] == [d.step for d in decisions] == list(range(1, 31))
        debts = [d.decision_debt for d in decisions]
        assert debts == pytest.approx([i * (0.6 - decisions[0].charged_satisfaction) for i in range(30)])
