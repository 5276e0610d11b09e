"""A real worker process in front of a server: ready while the server is there, and only then."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2 as pb
from messplus.worker.v1 import worker_service_pb2_grpc

from tests.conftest import free_port
from tests.contract.engine_doubles import models, openai_double
from tests.contract.http_double import HttpDouble, running

PATIENCE_SECONDS = 30.0


def write_zoo(folder: Path, address: str, url: str, **model: object) -> Path:
    zoo = {
        "name": "t",
        "models": [{"id": "m", "engine": "openai", "server": {"urls": [f"{url}/v1"]}, **model}],
        "workers": [{"model": "m", "address": address, "server_urls": [f"{url}/v1"]}],
        "sla_classes": [{"name": "s", "min_satisfaction": 0.5}],
        "energy": {"address": f"127.0.0.1:{free_port()}"},
    }
    file = folder / "zoo.yaml"
    file.write_text(yaml.safe_dump(zoo))
    return file


@contextmanager
def worker_process(zoo: Path) -> Iterator["subprocess.Popen[str]"]:
    settings = {
        "MESSPLUS_ZOO_FILE": str(zoo),
        "MESSPLUS_MODEL": "m",
        "MESSPLUS_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-m", "services.worker"]
    process = subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_routers_see_a_worker_come_and_go_with_its_server(tmp_path: Path) -> None:
    address, port, double = f"127.0.0.1:{free_port()}", free_port(), openai_double()
    zoo = write_zoo(tmp_path, address, f"http://127.0.0.1:{port}")
    with worker_process(zoo):
        await come_and_go(address, port, double)


async def come_and_go(address: str, port: int, double: HttpDouble) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)

        async def ready() -> bool:
            with suppress(grpc.aio.AioRpcError):
                answer = await health.Check(health_pb2.HealthCheckRequest())
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
            return False

        async def away() -> bool:
            with suppress(grpc.aio.AioRpcError):
                _ = [message async for message in stub.Generate(request)]
            return not await ready()

        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        request = pb.GenerateRequest(request_id="r", generation_id="g", prompt=common_pb2.Prompt(text="hi"))
        async with running(double, port):
            await eventually(ready)
            answer = [message.delta.text async for message in stub.Generate(request)]
            assert "".join(answer) == "ab"
        await eventually(away)
        async with running(double, port):
            await eventually(ready)


async def test_a_model_that_the_server_lacks_ends_the_process_with_what_it_has(
    tmp_path: Path,
) -> None:
    async with running(openai_double(listing=models("llama", "qwen"))) as double:
        zoo = write_zoo(tmp_path, f"127.0.0.1:{free_port()}", double.url)
        with worker_process(zoo) as process:
            _, said = await asyncio.to_thread(process.communicate, timeout=PATIENCE_SECONDS)
    assert process.returncode == 3
    assert "llama, qwen" in said
    assert "Traceback" not in said
