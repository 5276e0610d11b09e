"""A real worker process, with a real Redis and a real gRPC server in the place of the energy service."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
import redis.asyncio as aioredis
import yaml
from conftest import free_port
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc
from messplus.worker.v1 import worker_service_pb2 as pb
from messplus.worker.v1 import worker_service_pb2_grpc

from services.common.keys import Keys

PATIENCE_SECONDS = 20.0
TOKENS_PER_SECOND = 100.0
LONG = "word " * 500
DEVICES = ["GPU-a", "GPU-b"]
NOWHERE = "redis://127.0.0.1:1/0"


class EnergyDouble(energy_service_pb2_grpc.EnergyServiceServicer):
    """Takes reports and keeps them."""

    def __init__(self) -> None:
        self.reports: list[energy_service_pb2.ReportStepsRequest] = []
        self.refusal = ""
        """Why the next report is refused."""

    async def ReportSteps(self, request_iterator, context):  # type: ignore[no-untyped-def]  # noqa: N802
        async for report in request_iterator:
            if self.refusal:
                reason, self.refusal = self.refusal, ""
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, reason)
            self.reports.append(report)
        return energy_service_pb2.ReportStepsResponse()

    @property
    def generations(self) -> list[energy_service_pb2.ReportedGeneration]:
        return [each for report in self.reports for each in report.generations]

    def tokens(self, name: str) -> int:
        """All tokens of a kind: prefill_tokens, decode_tokens."""
        return sum(sum(getattr(step, name)) for report in self.reports for step in report.steps)


class Worker:
    """A worker process and a channel to it."""

    def __init__(self, folder: Path, redis_url: str, energy_port: int) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        zoo = {
            "name": "t",
            "models": [
                {
                    "id": "echo",
                    "engine": "echo",
                    "echo_tokens_per_second": TOKENS_PER_SECOND,
                    "max_batch_size": 1,
                    "max_queue_size": 1,
                }
            ],
            "workers": [{"model": "echo", "address": self.address, "device_ids": DEVICES}],
            "sla_classes": [{"name": "standard", "min_satisfaction": 0.7}],
            "energy": {"address": f"127.0.0.1:{energy_port}", "meter": "nvml"},
        }
        (folder / "zoo.yaml").write_text(yaml.safe_dump(zoo))
        settings = {
            "MESSPLUS_ZOO_FILE": str(folder / "zoo.yaml"),
            "MESSPLUS_MODEL": "echo",
            "MESSPLUS_REDIS_URL": redis_url,
            "MESSPLUS_INSTANCE_ID": "w1",
            "MESSPLUS_DRAIN_SECONDS": str(PATIENCE_SECONDS),
        }
        command = [sys.executable, "-m", "services.worker"]
        self._log = folder / "worker.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **settings}, stderr=log)
        self.channel = grpc.aio.insecure_channel(self.address)
        self.stub = worker_service_pb2_grpc.WorkerServiceStub(self.channel)

    async def serves(self) -> bool:
        health = health_pb2_grpc.HealthStub(self.channel)
        with suppress(grpc.aio.AioRpcError):
            answer = await health.Check(health_pb2.HealthCheckRequest())
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    def generate(self, text: str = LONG, name: str = "g", timeout: float | None = None):  # type: ignore[no-untyped-def]
        request = pb.GenerateRequest(
            request_id="r",
            generation_id=name,
            prompt=common_pb2.Prompt(text=text),
            sampling=common_pb2.SamplingParameters(max_tokens=1000),
        )
        metadata = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
        return self.stub.Generate(request, timeout=timeout, metadata=metadata)

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def exited(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(folder: Path, redis_url: str, energy_port: int) -> AsyncIterator[Worker]:
    worker = Worker(folder, redis_url, energy_port)
    try:
        await eventually(worker.serves)
        yield worker
    finally:
        await worker.channel.close()
        worker.process.kill()
        worker.process.wait()


@pytest.fixture
async def energy() -> AsyncIterator[tuple[EnergyDouble, int]]:
    double, server = EnergyDouble(), grpc.aio.server()
    energy_service_pb2_grpc.add_EnergyServiceServicer_to_server(double, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield double, port
    await server.stop(None)


@pytest.fixture
async def worker(tmp_path: Path, redis_url: str, energy: tuple[EnergyDouble, int]) -> AsyncIterator[Worker]:
    async with running(tmp_path, redis_url, energy[1]) as started:
        yield started


async def first_of(call) -> pb.GenerateResponse:  # type: ignore[no-untyped-def]
    response = await call.read()
    assert response is not grpc.aio.EOF
    return response  # type: ignore[no-any-return]


async def rest_of(call) -> list[pb.GenerateResponse]:  # type: ignore[no-untyped-def]
    responses = []
    while (response := await call.read()) is not grpc.aio.EOF:
        responses.append(response)
    return responses


async def load_of(redis_url: str) -> dict[str, object]:
    async with aioredis.Redis.from_url(redis_url) as client:
        shown = await client.get(Keys("t").load("w1"))
    return json.loads(shown) if shown else {}


async def test_a_generation_streams_and_its_work_is_reported(
    worker: Worker, energy: tuple[EnergyDouble, int]
) -> None:
    responses = [response async for response in worker.generate("one two three")]
    assert "".join(response.delta.text for response in responses) == "one two three"
    assert responses[-1].finished.finish_reason == common_pb2.FINISH_REASON_STOP
    assert responses[-1].finished.usage.completion_tokens == 3

    async def reported() -> bool:
        return any(each.finished for each in energy[0].generations)

    await eventually(reported)
    reports = energy[0].reports
    assert all(list(report.device_ids) == DEVICES for report in reports)
    assert energy[0].tokens("prefill_tokens") == energy[0].tokens("decode_tokens") == 3
    assert {(each.request_id, each.generation_id) for each in energy[0].generations} == {("r", "g")}
    assert reports[0].warming_up
    assert not reports[-1].warming_up
    assert {report.tier for report in reports} == {common_pb2.STEP_TIER_TOKEN_TIMES}
    assert reports[-1].cpu_seconds > reports[0].cpu_seconds > 0
    assert all(report.boot_id for report in reports)


async def test_a_refused_report_is_logged_with_its_reason_and_later_ones_arrive(
    worker: Worker, energy: tuple[EnergyDouble, int]
) -> None:
    energy[0].refusal = "device_ids[0] is 'GPU-9'; the meters here: GPU-0"

    async def logged() -> bool:
        return "refused a report of echo: device_ids[0] is 'GPU-9'" in worker.log

    await eventually(logged)
    assert [response async for response in worker.generate("one two three")]

    async def reported() -> bool:
        return any(each.finished for each in energy[0].generations)

    await eventually(reported)


async def test_a_client_that_goes_away_stops_the_engine(
    worker: Worker, energy: tuple[EnergyDouble, int], redis_url: str
) -> None:
    call = worker.generate()
    await first_of(call)
    call.cancel()

    async def stopped() -> bool:
        return any(each.finished for each in energy[0].generations)

    await eventually(stopped)
    assert energy[0].tokens("decode_tokens") < 250

    async def idle() -> bool:
        return (await load_of(redis_url)).get("running") == 0

    await eventually(idle)


async def test_a_deadline_stops_the_engine(worker: Worker, energy: tuple[EnergyDouble, int]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as end:
        async for _ in worker.generate(timeout=0.3):
            pass
    assert end.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    async def stopped() -> bool:
        return any(each.finished for each in energy[0].generations)

    await eventually(stopped)


async def test_a_full_queue_says_when_to_come_back(worker: Worker, redis_url: str) -> None:
    calls = [worker.generate(name="first"), worker.generate(name="second")]
    await first_of(calls[0])

    async def shown() -> bool:
        load = await load_of(redis_url)
        return (load.get("running"), load.get("waiting")) == (1, 1)

    await eventually(shown)
    load = await load_of(redis_url)
    assert (load["model_id"], load["address"], load["batch"]) == ("echo", worker.address, 1)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await first_of(worker.generate(name="third"))
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(refusal.value)
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() > 0
    for call in calls:
        call.cancel()


async def test_a_stopping_worker_finishes_what_runs_and_takes_its_load_down(
    worker: Worker, redis_url: str
) -> None:
    call = worker.generate("word " * 60)
    await first_of(call)
    worker.process.send_signal(signal.SIGTERM)
    last = (await rest_of(call))[-1]
    assert last.finished.usage.completion_tokens == 60
    assert await worker.exited() == 0
    assert await load_of(redis_url) == {}
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await first_of(worker.generate())
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_killed_worker_breaks_its_streams(worker: Worker) -> None:
    call = worker.generate()
    await first_of(call)
    worker.process.kill()
    with pytest.raises(grpc.aio.AioRpcError) as end:
        await rest_of(call)
    assert end.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_without_redis_and_energy_service_it_serves_and_says_so_once(tmp_path: Path) -> None:
    async with running(tmp_path, NOWHERE, energy_port=free_port()) as worker:
        for _ in range(2):
            responses = [response async for response in worker.generate("word " * 100)]
            assert responses[-1].finished.usage.completion_tokens == 100
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.exited() == 0
    log = worker.log
    assert log.count("Redis is away") == log.count("the energy service is away") == 1


async def test_steps_wait_for_an_energy_service_that_comes_later(tmp_path: Path) -> None:
    port, double = free_port(), EnergyDouble()
    async with running(tmp_path, NOWHERE, port) as worker:
        assert [response async for response in worker.generate("one two three")]
        server = grpc.aio.server()
        energy_service_pb2_grpc.add_EnergyServiceServicer_to_server(double, server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()

        async def arrived() -> bool:
            return any(each.finished for each in double.generations)

        await eventually(arrived)
        assert double.tokens("decode_tokens") == 3
        assert double.reports[0].warming_up
        await server.stop(None)


def run_to_the_end(zoo: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"MESSPLUS_ZOO_FILE": str(zoo), "MESSPLUS_MODEL": "m", "MESSPLUS_REDIS_URL": NOWHERE}
    return subprocess.run(
        [sys.executable, "-m", "services.worker"],
        env={**os.environ, **environment, **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def write_zoo(folder: Path, model: str) -> Path:
    zoo = folder / "zoo.yaml"
    zoo.write_text(
        f"{{name: t, models: [{{id: m, {model}}}], sla_classes: [{{name: s, min_satisfaction: 0.5}}],"
        f" workers: [{{model: m, address: '127.0.0.1:{free_port()}'}}]}}"
    )
    return zoo


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [("MESSPLUS_MODEL", "gpt", "must be one of m"), ("MESSPLUS_REDIS_URL", "x", "MESSPLUS_REDIS_URL")],
)
def test_wrong_settings_end_the_process_with_a_line(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    ended = run_to_the_end(write_zoo(tmp_path, "engine: echo"), **{variable: value})
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), (b"no model at all", "cannot load")])
def test_a_model_that_cannot_be_had_ends_the_process(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    weights = tmp_path / "m.gguf"
    if content is not None:
        weights.write_bytes(content)
    ended = run_to_the_end(write_zoo(tmp_path, f"source: {weights}"))
    assert ended.returncode == 3
    assert f"{weights}" in ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
