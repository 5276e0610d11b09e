"""The energy service over gRPC and a real Valkey: reports in, figures out, conservation to the microjoule."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import redis.asyncio as aioredis
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb
from messplus.energy.v1 import energy_service_pb2_grpc as pb_grpc

from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.redis_client import connect
from services.common.zoo_file import parse_zoo
from services.core.errors import StateUnavailableError
from services.core.events import EnergyAttributed
from services.energy.adapters.redis_calibrations import RedisCalibrations
from services.energy.adapters.redis_energy_log import RedisEnergyLog
from services.energy.server import EnergyService
from services.energy.servicer import SERVICE
from services.energy.settings import EnergyServiceSettings
from tests.conftest import free_port, start_valkey

KEYS = Keys("contract")
MILLISECOND = 1_000_000
DEADLINE_SECONDS = 10.0
ZOO = {
    "name": "contract",
    "models": [{"id": "small", "engine": "echo"}],
    "workers": [{"model": "small", "address": "127.0.0.1:50061"}],
    "sla_classes": [{"name": "standard", "min_satisfaction": 0.7}],
    "energy": {"watts_per_core": 13.0},
}


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[aioredis.Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def start(
    client: aioredis.Redis,
) -> AsyncIterator[Callable[..., Awaitable[tuple[EnergyService, pb_grpc.EnergyServiceAsyncStub]]]]:
    """Starts an energy service and gives a stub for it; all of them are stopped after the test."""
    started: list[tuple[EnergyService, grpc.aio.Channel]] = []

    async def start(
        redis_client: aioredis.Redis = client,
    ) -> tuple[EnergyService, pb_grpc.EnergyServiceAsyncStub]:
        settings = EnergyServiceSettings(energy_listen="127.0.0.1:0", drain_seconds=1.0)
        stored = RedisCalibrations(redis_client, KEYS)
        service = EnergyService(settings, parse_zoo(ZOO, "zoo"), RedisEnergyLog(redis_client, KEYS), stored)
        await service.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{service.server.port}")
        started.append((service, channel))
        return service, cast(Any, pb_grpc.EnergyServiceStub(channel))

    yield start
    for service, channel in started:
        await channel.close()
        await service.stop()


def reports(generations: int, worker_id: str = "w") -> Iterator[pb.ReportStepsRequest]:
    """Overlapping generations of two steps each, every 7 ms, with crooked CPU times."""
    start = time.monotonic_ns()
    for i in range(generations + 2):
        now = start + i * 7 * MILLISECOND
        active = [g for g in (i - 1, i - 2) if 0 <= g < generations]
        step = pb.EngineStep(
            start_nanoseconds=now - 7 * MILLISECOND, end_nanoseconds=now, generations=range(len(active)),
            prefill_tokens=[9 * (g == i - 1) for g in active], decode_tokens=[1 for _ in active],
            context_tokens=[40 + i for _ in active],
        )  # fmt: skip
        told = [
            pb.ReportedGeneration(request_id=f"r{g}", generation_id=f"g{g}", finished=g == i - 2)
            for g in active
        ]
        yield pb.ReportStepsRequest(
            worker_id=worker_id, model_id="small", boot_id="boot", monotonic_nanoseconds=now,
            cpu_seconds=2.0 + cpu_seconds(i), generations=told, steps=[step] if active else [],
            tier=common_pb2.STEP_TIER_TOKEN_TIMES,
        )  # fmt: skip


def alone(**change: list[int]) -> dict[str, Any]:
    """The generations and the only step of a report, with a change to the step."""
    columns = {
        "generations": [0],
        "prefill_tokens": [0],
        "decode_tokens": [1],
        "context_tokens": [1],
        **change,
    }
    return {
        "generations": [pb.ReportedGeneration(request_id="r", generation_id="g")],
        "steps": [pb.EngineStep(end_nanoseconds=9, **columns)],
    }


def cpu_seconds(i: int) -> float:
    return i * 0.0061234567 + (i % 3) * 0.001


async def events(client: aioredis.Redis, count: int) -> list[EnergyAttributed]:
    """The energy events in the log, once there are `count`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        entries = await cast(Awaitable[list[Any]], client.xrange(KEYS.events))
        if len(entries) >= count:
            return [cast(EnergyAttributed, decode_entry(*entry).event) for entry in entries]
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(entries)} events after {DEADLINE_SECONDS} s, expected {count}")


async def test_what_the_log_and_the_balance_say_is_what_the_workers_burned(
    client: aioredis.Redis, start: Any
) -> None:
    _, stub = await start()
    response = await stub.ReportSteps(reports(200))
    assert (response.accepted_steps, response.late_steps) == (201, 0)
    figures = await events(client, 200)
    assert sorted(figure.generation_id for figure in figures) == sorted(f"g{i}" for i in range(200))
    (meter,) = (await stub.GetMeters(pb.GetMetersRequest())).meters
    unattributed = sum(round(joules * 1e6) for joules in meter.unattributed_joules.values())
    attributed = sum(round(figure.energy_joules * 1e6) for figure in figures)
    burned = round((2.0 + cpu_seconds(201)) * 13e6) - round(2.0 * 13e6)
    assert attributed + unattributed == round(meter.measured_joules * 1e6) == burned
    assert attributed > 0.9 * burned
    assert (meter.meter_id, meter.quality, meter.watts_per_core) == (
        "process-cpu:w", common_pb2.ENERGY_QUALITY_MODELLED, 13.0,
    )  # fmt: skip
    for figure in figures:
        parts = (figure.prefill_energy_joules, figure.decode_energy_joules, figure.shared_energy_joules)
        assert round(figure.energy_joules * 1e6) == sum(round(part * 1e6) for part in parts)


async def test_a_request_is_remembered_over_a_restart(client: aioredis.Redis, start: Any) -> None:
    first, stub = await start()
    await stub.ReportSteps(reports(3))
    before = await stub.GetRequestEnergy(pb.GetRequestEnergyRequest(request_id="r1"))
    assert [figure.generation_id for figure in before.generations] == ["g1"]
    assert before.energy_joules == before.generations[0].energy_joules > 0
    await events(client, 3)
    await first.stop()
    _, again = await start()
    assert await eventually(again, "r1") == before


async def eventually(stub: pb_grpc.EnergyServiceAsyncStub, request_id: str) -> pb.GetRequestEnergyResponse:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return await stub.GetRequestEnergy(pb.GetRequestEnergyRequest(request_id=request_id))
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.01)


async def test_figures_wait_for_a_log_that_is_away(start: Any, tmp_path: Path) -> None:
    port = free_port()
    late_client = connect(f"redis://127.0.0.1:{port}/0")
    valkey: subprocess.Popen[bytes] | None = None
    try:
        _, stub = await start(late_client)
        await stub.ReportSteps(reports(5))
        assert (await stub.GetRequestEnergy(pb.GetRequestEnergyRequest(request_id="r4"))).energy_joules > 0
        with pytest.raises(StateUnavailableError):
            await RedisEnergyLog(late_client, KEYS).tail(1)
        valkey = start_valkey(port, tmp_path, "--appendonly", "no", "--save", "")
        figures = await events(late_client, 5)
        assert [figure.generation_id for figure in figures] == [f"g{i}" for i in range(5)]
    finally:
        await late_client.aclose()
        if valkey is not None:
            valkey.terminate()
            valkey.wait(timeout=10)


async def test_calibrations_come_back_as_they_were_saved(client: aioredis.Redis) -> None:
    store = RedisCalibrations(client, KEYS)
    assert await store.load() == {}
    await store.save({})
    await store.save({"GPU-1": {"idle": 0.1 + 0.2}, "GPU-2": {"idle": 1}})
    await store.save({"GPU-2": {"idle": 2}})
    await client.hset(KEYS.calibration, "GPU-3", b"{")
    assert await store.load() == {"GPU-1": {"idle": 0.1 + 0.2}, "GPU-2": {"idle": 2}}


async def test_the_tail_of_the_log_is_its_newest_energy_events(client: aioredis.Redis) -> None:
    log = RedisEnergyLog(client, KEYS)
    assert await log.tail(5) == []
    written = [EnergyAttributed(f"r{i}", f"g{i}", "small", float(i)) for i in range(1500)]
    await log.append(written)
    for damaged in ({"type": "energy"}, {"type": "label", "data": b"\xff"}):
        await cast(Awaitable[bytes], client.xadd(KEYS.events, cast(Any, damaged)))
    assert await log.tail(1200) == written[-1200:]


def own_boot_id() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"worker_id": ""}, "worker_id"),
        ({"model_id": "huge"}, "model_id"),
        ({"cpu_seconds": float("nan")}, "cpu_seconds"),
        ({"cpu_seconds": -1.0}, "cpu_seconds"),
        ({"monotonic_nanoseconds": -5}, "monotonic_nanoseconds"),
        ({"tier": common_pb2.STEP_TIER_UNSPECIFIED}, "tier"),
        ({"device_ids": ["GPU-0"]}, "device_ids[0]"),
        ({"steps": [pb.EngineStep(start_nanoseconds=9, end_nanoseconds=9)]}, "steps[0].end_nanoseconds"),
        (
            {"steps": [pb.EngineStep(start_nanoseconds=9, end_nanoseconds=1 << 60)]},
            "steps[0].end_nanoseconds",
        ),
        (alone(decode_tokens=[-1]), "steps[0].decode_tokens"),
        (alone(context_tokens=[1, 2]), "steps[0].context_tokens"),
        (alone(generations=[1]), "steps[0].generations"),
        ({**alone(), "generations": [pb.ReportedGeneration(request_id="r")]}, "generations[0].generation_id"),
        (
            {
                "steps": [
                    pb.EngineStep(start_nanoseconds=5, end_nanoseconds=9),
                    pb.EngineStep(start_nanoseconds=1, end_nanoseconds=4),
                ]
            },
            "steps[1].end_nanoseconds",
        ),
        ({"boot_id": own_boot_id(), "monotonic_nanoseconds": 1 << 62}, "monotonic_nanoseconds"),
    ],
)
async def test_a_bad_report_names_the_field(start: Any, change: dict[str, Any], field: str) -> None:
    _, stub = await start()
    good = {
        "worker_id": "w", "model_id": "small", "boot_id": "boot", "monotonic_nanoseconds": 10,
        "cpu_seconds": 1.0, "tier": common_pb2.STEP_TIER_TOKEN_TIMES,
    }  # fmt: skip
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.ReportSteps(iter([pb.ReportStepsRequest(**{**good, **change})]))
    assert violations(error.value) == [field]
    response = await stub.ReportSteps(reports(3))
    assert (response.accepted_steps, response.late_steps) == (4, 0)


def violations(error: grpc.aio.AioRpcError) -> list[str]:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad_request = error_details_pb2.BadRequest()
    status = rpc_status.from_call(cast(Any, error))
    assert any(detail.Unpack(bad_request) for detail in cast(Any, status).details)
    return [violation.field for violation in bad_request.field_violations]


@pytest.mark.parametrize(
    "body", [b"\x0a\x02\xff\xfe", b"\x0a\xff", b"\x0a" + bytes(2 << 20)], ids=["utf8", "cut", "big"]
)
async def test_bytes_that_are_no_message_are_invalid_arguments(start: Any, body: bytes) -> None:
    service, _ = await start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.server.port}") as channel:
        unary: Any = channel.unary_unary(f"/{SERVICE}/GetRequestEnergy")
        stream: Any = channel.stream_unary(f"/{SERVICE}/ReportSteps")
        for call in (unary(body), stream(iter([body]))):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert violations(error.value) == ["message"]


async def test_unknown_requests_and_bad_ids(start: Any) -> None:
    _, stub = await start()
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await stub.GetRequestEnergy(pb.GetRequestEnergyRequest(request_id="nobody"))
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as empty:
        await stub.GetRequestEnergy(pb.GetRequestEnergyRequest())
    assert violations(empty.value) == ["request_id"]


async def test_power_is_streamed_until_the_service_stops(start: Any) -> None:
    service, stub = await start()
    with pytest.raises(grpc.aio.AioRpcError) as too_fast:
        await anext(aiter(stub.WatchPower(pb.WatchPowerRequest(interval=Duration(nanos=1)))))
    assert violations(too_fast.value) == ["interval"]
    stream = stub.WatchPower(pb.WatchPowerRequest(interval=Duration(nanos=100_000_000)))
    first = await stream.read()
    assert (first.power_watts, list(first.meters)) == (0.0, [])
    assert abs(first.read_at.seconds - time.time()) < DEADLINE_SECONDS
    messages = list(reports(3))
    steps = stub.ReportSteps()
    await steps.write(messages[0])
    assert await next_with_meters(stream)
    await steps.write(messages[-1])
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (await stream.read()).power_watts == 0.0:
        assert time.monotonic() < deadline
    await service.stop()
    assert (await steps).accepted_steps == 1
    while await stream.read() is not grpc.aio.EOF:
        pass
    assert await stream.code() == grpc.StatusCode.OK


async def next_with_meters(stream: Any) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if (await stream.read()).meters:
            return True
    return False
