"""An engine's server that fails: the router turns to another model, and the log says what failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb
from messplus.worker.v1 import worker_service_pb2_grpc

from services.common.rpc import instrument
from services.core.events import Outcome, Redecision, Role
from services.worker.generations import Generations, WorkerState
from services.worker.ports import Engine
from services.worker.servicer import SERVICE, WorkerServicer
from services.worker.steps import StepRecorder
from tests.contract.engine_doubles import Answer, chunk, loaded, openai_double, refuses, streams
from tests.contract.router_system import ScriptedWorker, System, generated, running_router, serving, zoo_of

REQUEST = pb.GenerateRequest(prompt=common_pb2.Prompt(text="hi"))


@asynccontextmanager
async def worker_of(engine: Engine) -> AsyncIterator[ScriptedWorker]:
    """A worker's own queue and RPCs over this engine; of the scripted one it has address and model."""
    generations = Generations(engine, StepRecorder(count().__next__, lambda: 0.0), "small", 4)
    generations.state = WorkerState.SERVING
    servicer, server = WorkerServicer(generations, engine.info, "small", "w1", 4), grpc.aio.server()
    instrument(servicer, SERVICE)
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield ScriptedWorker("small", address=address)
    await server.stop(0)


async def failures_of(system: System, request_id: str) -> list[tuple[str, str, int, str, str]]:
    """What `ExplainDecision` says failed of a request."""
    reply = await system.stub.ExplainDecision(pb.ExplainDecisionRequest(request_id=request_id))
    return [
        (f.model_id, f.reason, f.completion_tokens, f.next_model_id, f.next_generation_id)
        for f in reply.failures
    ]


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        (refuses(429, retry_after="60"), "RESOURCE_EXHAUSTED Overloaded"),
        (refuses(401), "FAILED_PRECONDITION ServerDenied"),
        (refuses(404), "FAILED_PRECONDITION UnknownServerModel"),
        (streams(b"data: {\n\n"), "UNAVAILABLE BrokenStream"),
        (streams(end="hang"), "UNAVAILABLE EngineTimeout"),
    ],
)
async def test_a_failing_server_is_named_in_the_redecision(
    redis_url: str, tmp_path: Path, chat: Answer, said: str
) -> None:
    other, double = ScriptedWorker("large"), openai_double(chat)
    async with (
        loaded("openai", double, retries=0, first_token_timeout_seconds=0.3) as engine,
        worker_of(engine) as small,
        serving(other),
        running_router(redis_url, tmp_path, zoo_of([small, other])) as system,
    ):
        decision, text, _ = await generated(system.stub, REQUEST)
        assert (decision.model_id, text) == ("large", "four two")
        await system.eventually(lambda: any(isinstance(e, Redecision) for e in system.events()))
        (redecision,) = [e for e in system.events() if isinstance(e, Redecision)]
        failures = await failures_of(system, decision.request_id)
    assert redecision.failed_model_id == "small"
    assert redecision.reason.startswith(said)
    assert double.url in redecision.reason
    assert failures == [("small", redecision.reason, 0, "large", redecision.generation_id)]


async def test_after_the_first_token_the_client_hears_what_failed(redis_url: str, tmp_path: Path) -> None:
    double = openai_double(streams(chunk("a"), end="hang up"))
    async with (
        loaded("openai", double) as engine,
        worker_of(engine) as small,
        running_router(redis_url, tmp_path, zoo_of([small])) as system,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as end:
            await generated(system.stub, REQUEST)
        await system.eventually(lambda: any(isinstance(e, Outcome) for e in system.events()))
        (outcome,) = [e for e in system.events() if isinstance(e, Outcome)]
        failures = await failures_of(system, outcome.request_id)
        ttl = await asyncio.to_thread(system.client.ttl, system.keys.failures(outcome.request_id))
    assert (outcome.role, outcome.finish_reason) == (Role.FAILED, "error")
    assert outcome.completion_tokens == 1
    assert "BrokenStream" in outcome.error
    assert double.url in outcome.error
    assert failures == [("small", outcome.error, 1, "", "")]
    assert 0 < ttl <= 3600
    assert end.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "BrokenStream" in str(end.value.details())
    assert double.url in str(end.value.details())
