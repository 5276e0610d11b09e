"""A router whose zoo changes under load: no errors, new models and classes serve, removed ones do not."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb

from services.common.zoo_file import parse_zoo
from tests.contract.router_system import ScriptedWorker, generated, running_router, serving, zoo_of

PROMPT = common_pb2.Prompt(text="What is 6 times 7?")
PACER = {"name": "pacer"}
CLASSES = [{"name": "standard", "min_satisfaction": 0.6}, {"name": "strict", "min_satisfaction": 0.95}]


def in_class(name: str = "") -> pb.GenerateRequest:
    return pb.GenerateRequest(prompt=PROMPT, routing=pb.RoutingOptions(sla_class=name))


@pytest.mark.parametrize("consistency", ["eventual", "strict"])
async def test_the_zoo_changes_under_load(redis_url: str, tmp_path: Path, consistency: str) -> None:
    old, kept, new = (ScriptedWorker(m) for m in ("old", "kept", "new"))
    routing: dict[str, Any] = {"policy": PACER, "routing": {"consistency": consistency}}
    async with AsyncExitStack() as stack:
        for worker in (old, kept, new):
            await stack.enter_async_context(serving(worker))
        system = await stack.enter_async_context(
            running_router(redis_url, tmp_path, zoo_of([old, kept], **routing))
        )
        replies: list[str] = []
        changed = asyncio.Event()

        async def load() -> None:
            for _ in range(10_000):
                decision, text, _ = await generated(system.stub, in_class())
                replies.append(decision.model_id)
                assert text == "four two"
                if changed.is_set():
                    return

        async with asyncio.TaskGroup() as clients:
            for _ in range(4):
                clients.create_task(load())
            await system.eventually(lambda: len(replies) >= 20)
            zoo = zoo_of([new, kept], sla_classes=CLASSES, **routing)
            await system.router.change_zoo(parse_zoo(zoo, "test"))
            changed.set()
        assert "old" in replies[:20]
        after = [(await generated(system.stub, in_class("strict")))[0] for _ in range(40)]
        after += [(await generated(system.stub, in_class()))[0] for _ in range(40)]
        assert {d.model_id for d in after} == {"new", "kept"}
        await system.eventually(lambda: len(system.decisions()) == len(replies) + 80)
        status = await system.stub.GetSlaStatus(pb.GetSlaStatusRequest())
        assert {c.sla_class: c.steps for c in status.classes} == {
            "standard": len(replies) + 40,
            "strict": 40,
        }
        models = (await system.stub.ListModels(pb.ListModelsRequest())).models
        assert [m.model_id for m in models] == ["new", "kept"]


async def test_an_answer_in_flight_ends_on_the_model_that_was_removed(redis_url: str, tmp_path: Path) -> None:
    old, kept = ScriptedWorker("old", tokens=("one", "WAIT", "two")), ScriptedWorker("kept")
    async with serving(old), serving(kept):
        policy = {"policy": {"name": "messplus-2025", "parameters": {"exploration_scale": 0.0}}}
        async with running_router(redis_url, tmp_path, zoo_of([old, kept], **policy)) as system:
            call = system.stub.Generate(in_class())
            replies = aiter(call)
            first = await anext(replies)
            assert first.decision.model_id == "old"
            decided = await system.stub.Decide(pb.DecideRequest(prompt=PROMPT))
            await system.router.change_zoo(parse_zoo(zoo_of([kept], **policy), "test"))
            assert (await generated(system.stub, in_class()))[0].model_id == "kept"
            old.go_on.set()
            rest = [reply async for reply in replies]
            assert "".join(reply.delta.text for reply in rest) == "onetwo"
            assert rest[-1].HasField("finished")
            # Whoever ran the model himself may still say how it went.
            report = pb.ReportOutcomeRequest(
                request_id=decided.decision.request_id,
                decision_id=decided.decision.decision_id,
                model_id="old",
                finish_reason=common_pb2.FINISH_REASON_STOP,
            )
            assert (await system.stub.ReportOutcome(report)).log_position


async def test_a_removed_class_is_refused_by_name(redis_url: str, tmp_path: Path) -> None:
    worker = ScriptedWorker("only")
    async with serving(worker):
        zoo = zoo_of([worker], sla_classes=CLASSES)
        async with running_router(redis_url, tmp_path, zoo) as system:
            await generated(system.stub, in_class("strict"))
            await system.router.change_zoo(parse_zoo(zoo_of([worker]), "test"))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await generated(system.stub, in_class("strict"))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            await system.router.change_zoo(parse_zoo(zoo, "test"))
            await generated(system.stub, in_class("strict"))
            await system.eventually(lambda: [d.step for d in system.decisions()] == [1, 2])
