"""The last message of `Generate` carries measured joules where they are there by then, else the estimate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as epb
from messplus.energy.v1 import energy_service_pb2_grpc as epb_grpc
from messplus.router.v1 import router_service_pb2 as pb

from tests.contract.router_system import ScriptedWorker, generated, running_router, serving, zoo_of

REQUEST = pb.GenerateRequest(prompt=common_pb2.Prompt(text="What is 6 times 7?"))
ANSWER_SECONDS = 0.5
"""Long enough that the router waits for the joules of its answer."""


class ScriptedEnergy(epb_grpc.EnergyServiceServicer):
    """Has joules of what the worker generated, if its windows have closed."""

    def __init__(self, worker: ScriptedWorker, has_closed: bool) -> None:
        self._worker, self._has_closed = worker, has_closed

    async def GetRequestEnergy(self, request: Any, context: Any) -> epb.GetRequestEnergyResponse:  # noqa: N802
        if not self._has_closed:
            await context.abort(grpc.StatusCode.NOT_FOUND, "not final yet")
        figure = common_pb2.GenerationEnergy(
            request_id=request.request_id,
            generation_id=self._worker.generated[-1],
            model_id="small",
            energy_joules=12.5,
            prefill_energy_joules=2.5,
            decode_energy_joules=8.0,
            shared_energy_joules=2.0,
            uncertainty_joules=0.5,
            quality=common_pb2.ENERGY_QUALITY_MEASURED,
            method="nvml",
            tier=common_pb2.STEP_TIER_TOKEN_TIMES,
        )
        return epb.GetRequestEnergyResponse(generations=[figure], energy_joules=12.5)


@asynccontextmanager
async def measuring(address: str, energy: ScriptedEnergy) -> AsyncIterator[None]:
    server = grpc.aio.server()
    epb_grpc.add_EnergyServiceServicer_to_server(energy, server)
    assert server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def last_energy(redis_url: str, folder: Path, has_closed: bool) -> common_pb2.GenerationEnergy:
    """The energy in the last message of a slow answer."""
    worker = ScriptedWorker("small", ("four", "WAIT", "two"))
    async with serving(worker):
        zoo = zoo_of([worker])
        async with (
            measuring(zoo["energy"]["address"], ScriptedEnergy(worker, has_closed)),
            running_router(redis_url, folder, zoo) as system,
        ):
            asyncio.get_running_loop().call_later(ANSWER_SECONDS, worker.go_on.set)
            _, text, finished = await generated(system.stub, REQUEST)
    assert text == "fourtwo"
    return finished.energy


@pytest.mark.parametrize(
    ("has_closed", "joules", "quality", "method", "tier"),
    [
        (True, 12.5, common_pb2.ENERGY_QUALITY_MEASURED, "nvml", common_pb2.STEP_TIER_TOKEN_TIMES),
        (False, 1.0, common_pb2.ENERGY_QUALITY_ESTIMATED, "energy-model", common_pb2.STEP_TIER_NONE),
    ],
    ids=["the window has closed", "not yet"],
)
async def test_the_last_message_says_which_joules_it_carries(
    redis_url: str, tmp_path: Path, has_closed: bool, joules: float, quality: int, method: str, tier: int
) -> None:
    energy = await last_energy(redis_url, tmp_path, has_closed)
    assert (energy.energy_joules, energy.quality, energy.method, energy.tier) == (
        joules, quality, method, tier,
    )  # fmt: skip
    assert energy.HasField("uncertainty_joules") is has_closed
    assert (energy.decode_energy_joules, energy.shared_energy_joules) == (
        (8.0, 2.0) if has_closed else (0, 0)
    )
