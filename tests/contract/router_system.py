"""A real router on a real Valkey, between real gRPC clients and workers that do as the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import redis
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb
from messplus.router.v1 import router_service_pb2_grpc
from messplus.worker.v1 import worker_service_pb2 as wpb
from messplus.worker.v1 import worker_service_pb2_grpc
from typer.testing import CliRunner

from cli.main import app
from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.server import ServiceServer, cancel
from services.common.zoo_file import load_zoo
from services.core.events import Decision, Event
from services.router.server import Router
from services.router.servicer import SERVICE
from services.router.settings import RouterSettings
from tests.conftest import free_port

ZOO = "router-test"
DEADLINE_SECONDS = 15.0


@dataclass
class ScriptedWorker(worker_service_pb2_grpc.WorkerServiceServicer):
    """Answers with `tokens`, fails after `fails_after` of them, or waits until `go_on` is set."""

    model_id: str
    tokens: tuple[str, ...] = ("four", " ", "two")
    fails_after: int | None = None
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    generated: list[str] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""

    async def Generate(self, request: wpb.GenerateRequest, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.generated.append(request.generation_id)
        try:
            for i, token in enumerate(self.tokens):
                if i == self.fails_after:
                    await context.abort(self.code, "told to fail")
                if token == "WAIT":
                    await self.go_on.wait()
                    continue
                yield wpb.GenerateResponse(delta=wpb.TextDelta(text=token, token_count=1))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        usage = common_pb2.Usage(prompt_tokens=5, completion_tokens=len(self.tokens))
        end = wpb.Finished(finish_reason=common_pb2.FINISH_REASON_STOP, usage=usage)
        yield wpb.GenerateResponse(finished=end)

    async def GetModelInfo(self, request: Any, context: Any) -> wpb.GetModelInfoResponse:  # noqa: N802
        return wpb.GetModelInfoResponse(
            model_id=self.model_id,
            context_window_tokens=2048,
            max_batch_size=4,
            worker_id=f"{self.model_id}-worker",
        )


@asynccontextmanager
async def serving(worker: ScriptedWorker) -> AsyncIterator[None]:
    server = grpc.aio.server()
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(worker, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    worker.address = f"127.0.0.1:{server.add_insecure_port(worker.address or '127.0.0.1:0')}"
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@dataclass
class System:
    """A running router and what a test looks at."""

    stub: router_service_pb2_grpc.RouterServiceStub
    router: Router
    client: "redis.Redis"
    keys: Keys
    channel: grpc.aio.Channel
    address: str

    def events(self) -> list[Event]:
        return [decode_entry(*entry).event for entry in self.client.xrange(self.keys.events)]

    def decisions(self) -> list[Decision]:
        return [event for event in self.events() if isinstance(event, Decision)]

    async def eventually(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not what():
                await asyncio.sleep(0.01)


def zoo_of(workers: list[ScriptedWorker], **sections: Any) -> dict[str, Any]:
    return {
        "name": ZOO,
        "models": [
            {
                "id": w.model_id,
                "engine": "echo",
                "prior": {"satisfaction": 0.5 + 0.1 * i, "energy_joules": 1 + i},
            }
            for i, w in enumerate(workers)
        ],
        "workers": [{"model": w.model_id, "address": w.address} for w in workers],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.6}],
        "policy": {"name": f"single:{workers[0].model_id}"},
        "energy": {"address": f"127.0.0.1:{free_port()}"},
        **sections,
    }


@asynccontextmanager
async def running_router(redis_url: str, folder: Path, zoo: dict[str, Any]) -> AsyncIterator[System]:
    file = folder / "zoo.yaml"
    file.write_text(yaml.safe_dump(zoo))
    settings = RouterSettings(zoo_file=file, redis_url=redis_url, instance_id="router-1", drain_seconds=2)
    router = Router(settings, load_zoo(file))
    server = ServiceServer("127.0.0.1:0", [SERVICE], 1.0)
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(await router.servicer(), server.tolerant)
    await server.start()
    tasks = router.background()
    try:
        address = f"127.0.0.1:{server.port}"
        async with grpc.aio.insecure_channel(address) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            with redis.Redis.from_url(redis_url) as client:
                system = System(stub, router, client, Keys(ZOO), channel, address)
                await system.eventually(lambda: all(w.status.ready for w in router.routes.fleet.workers))
                yield system
    finally:
        await server.drain()
        await router.drain(2.0)
        await cancel(tasks)
        await router.close()


async def generated(
    stub: router_service_pb2_grpc.RouterServiceStub, request: pb.GenerateRequest
) -> tuple[pb.Decision, str, pb.Finished]:
    """Decision, whole text and end of a `Generate`."""
    replies = [reply async for reply in stub.Generate(request, timeout=DEADLINE_SECONDS)]
    assert [r.WhichOneof("event") for r in replies[1:-1]] == ["delta"] * (len(replies) - 2)
    return replies[0].decision, "".join(r.delta.text for r in replies[1:-1]), replies[-1].finished


async def explained(folder: Path, request_id: str, *addresses: str, option: str = "") -> tuple[int, str]:
    """Exit status and output of `messplus explain` on the zoo in `folder`, with these routers."""
    zoo: dict[str, Any] = yaml.safe_load((folder / "zoo.yaml").read_text())
    file = folder / "cli.yaml"
    file.write_text(yaml.safe_dump(zoo | {"router_addresses": list(addresses)}))
    arguments = ["explain", request_id, "--zoo", str(file), *([option] if option else [])]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    return result.exit_code, result.output
