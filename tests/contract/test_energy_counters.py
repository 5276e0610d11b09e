"""The energy service over an NVML counter (a stand-in library, the real pynvml) and a real Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import grpc
import pytest
import redis.asyncio as aioredis
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb
from messplus.energy.v1 import energy_service_pb2_grpc as pb_grpc

from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.redis_client import connect
from services.common.zoo_file import parse_zoo
from services.core.events import EnergyAttributed
from services.energy.adapters.redis_calibrations import RedisCalibrations
from services.energy.adapters.redis_energy_log import RedisEnergyLog
from services.energy.server import EnergyService
from services.energy.settings import EnergyServiceSettings
from tests.nvml_stand_in import StandIn

KEYS = Keys("counters")
MILLISECOND = 1_000_000
DEADLINE_SECONDS = 15.0
GPU_IS_LOST = 15
UUIDS = ["GPU-00000000", "GPU-00000001"]
ZOO = {
    "name": "counters",
    "models": [{"id": "small", "engine": "echo"}],
    "workers": [{"model": "small", "address": "127.0.0.1:50061", "device_ids": UUIDS}],
    "sla_classes": [{"name": "standard", "min_satisfaction": 0.7}],
    "energy": {"meter": "nvml", "metered_idle_watts_per_worker": 5.0},
}


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[aioredis.Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def stub(client: aioredis.Redis, gpu: StandIn) -> AsyncIterator[Any]:
    """A service over three GPUs whose counters rise at every look; the third belongs to nobody."""
    gpu.begin(gpus=3)
    gpu.play(rise_mj=500)
    settings = EnergyServiceSettings(energy_listen="127.0.0.1:0", drain_seconds=1.0)
    stores = RedisEnergyLog(client, KEYS), RedisCalibrations(client, KEYS)
    service = EnergyService(settings, parse_zoo(ZOO, "zoo"), *stores)
    await service.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.server.port}") as channel:
        yield pb_grpc.EnergyServiceStub(channel)
    await service.stop()


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class Worker:
    """Reports one generation after the other over one stream."""

    def __init__(self, stub: Any) -> None:
        self._call, self._boot_id, self._count = stub.ReportSteps(), boot_id(), 0
        self.last = time.monotonic_ns()

    async def report(self) -> None:
        now = time.monotonic_ns()
        told = pb.ReportedGeneration(
            request_id=f"r{self._count}", generation_id=f"g{self._count}", finished=True
        )
        step = pb.EngineStep(
            start_nanoseconds=self.last, end_nanoseconds=now, generations=[0],
            prefill_tokens=[0], decode_tokens=[1], context_tokens=[0],
        )  # fmt: skip
        await self._call.write(
            pb.ReportStepsRequest(
                worker_id="w", model_id="small", boot_id=self._boot_id, monotonic_nanoseconds=now,
                generations=[told], steps=[step], tier=common_pb2.STEP_TIER_TOKEN_TIMES, device_ids=UUIDS,
            )
        )  # fmt: skip
        self.last, self._count = now, self._count + 1


async def figures(client: aioredis.Redis) -> list[EnergyAttributed]:
    entries = await cast(Any, client.xrange(KEYS.events))
    return [cast(EnergyAttributed, decode_entry(*entry).event) for entry in entries]


async def until(
    worker: Worker, client: aioredis.Redis, wanted: Callable[[EnergyAttributed], bool], count: int = 3
) -> list[EnergyAttributed]:
    """Works until the log has `count` figures that are wanted."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        await worker.report()
        await asyncio.sleep(0.05)
        found = [figure for figure in await figures(client) if wanted(figure)]
        if len(found) >= count:
            return found
    raise AssertionError(f"only {await figures(client)} after {DEADLINE_SECONDS} s")


async def balances(stub: Any) -> dict[str, pb.Meter]:
    response = await stub.GetMeters(pb.GetMetersRequest())
    return {meter.meter_id: meter for meter in response.meters}


def parts(meter: pb.Meter) -> Iterator[int]:
    yield round(meter.attributed_joules * 1e6)
    yield from (round(joules * 1e6) for joules in meter.unattributed_joules.values())


async def test_joules_of_a_group_of_gpus_are_measured_and_conserved(
    stub: Any, client: aioredis.Redis
) -> None:
    worker = Worker(stub)
    found = await until(worker, client, lambda figure: figure.quality == "MEASURED", count=5)
    assert {(figure.method, figure.tier) for figure in found} == {("nvml", "B")}
    logged = sum(round(figure.energy_joules * 1e6) for figure in found)
    meters = await balances(stub)
    for uuid in UUIDS:
        assert sum(parts(meters[uuid])) == round(meters[uuid].measured_joules * 1e6) > 0
        assert meters[uuid].attributed_joules > 0
    assert meters["GPU-00000002"].attributed_joules == 0
    attributed = sum(round(meters[uuid].attributed_joules * 1e6) for uuid in UUIDS)
    assert 0 < logged <= attributed
    assert (meters[UUIDS[0]].method, meters[UUIDS[0]].kind) == ("nvml", "gpu/nvidia")
    assert meters[UUIDS[0]].update_period_seconds >= 0.02


async def test_a_counter_that_fails_turns_figures_into_estimates_and_back(
    stub: Any, client: aioredis.Redis, gpu: StandIn
) -> None:
    worker = Worker(stub)
    await until(worker, client, lambda figure: figure.quality == "MEASURED")
    gpu.play(index=1, energy_code=GPU_IS_LOST)
    estimated = await until(worker, client, lambda figure: figure.quality == "ESTIMATED")
    assert {figure.method for figure in estimated} == {"coefficients+nvml"}
    lost = (await balances(stub))[UUIDS[1]]
    assert not lost.available
    assert "fell off its bus" in lost.detail
    gpu.play(index=1, energy_code=0)
    last = estimated[-1].generation_id
    back = await until(
        worker, client, lambda f: f.quality == "MEASURED" and int(f.generation_id[1:]) > int(last[1:])
    )
    assert back
    again = (await balances(stub))[UUIDS[1]]
    assert (again.available, again.unknown_windows["unreadable"]) == (True, 1)
