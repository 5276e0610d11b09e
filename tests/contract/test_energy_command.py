"""`messplus energy` against a real energy service, and what it says where it gets no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb
from messplus.energy.v1 import energy_service_pb2_grpc as pb_grpc
from typer.testing import CliRunner

from cli.main import app
from services.common.keys import Keys
from services.common.redis_client import connect
from services.common.zoo_file import load_zoo
from services.energy.adapters.redis_calibrations import RedisCalibrations
from services.energy.adapters.redis_energy_log import RedisEnergyLog
from services.energy.server import EnergyService
from services.energy.settings import EnergyServiceSettings
from tests.conftest import free_port

SECOND = 1_000_000_000


def zoo_file(folder: Path, address: str) -> Path:
    zoo: dict[str, Any] = {
        "name": "energetic",
        "models": [{"id": "small", "engine": "echo"}],
        "workers": [{"model": "small", "address": "127.0.0.1:50061"}],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.7}],
        "energy": {"address": address, "watts_per_core": 12.0, "power_usage_effectiveness": 1.5},
    }
    file = folder / "zoo.yaml"
    file.write_text(yaml.safe_dump(zoo))
    return file


@pytest.fixture
async def zoo(redis_url: str, tmp_path: Path) -> AsyncIterator[Path]:
    """The zoo file of a running energy service that has charged request r with 6 J."""
    file = zoo_file(tmp_path, f"127.0.0.1:{free_port()}")
    client, settings = connect(redis_url), load_zoo(file)
    keys = Keys(settings.name)
    stores = RedisEnergyLog(client, keys), RedisCalibrations(client, keys)
    service = EnergyService(EnergyServiceSettings(zoo_file=file, drain_seconds=1.0), settings, *stores)
    await service.start()
    async with grpc.aio.insecure_channel(settings.energy.address) as channel:
        stub: Any = pb_grpc.EnergyServiceStub(channel)
        await stub.ReportSteps(iter([report(0), report(1, finished=True)]))
    yield file
    await service.stop()
    await client.aclose()


def report(second: int, finished: bool = False) -> pb.ReportStepsRequest:
    told = pb.ReportedGeneration(request_id="r", generation_id="r.0", finished=finished)
    step = pb.EngineStep(
        start_nanoseconds=1, end_nanoseconds=SECOND, generations=[0],
        prefill_tokens=[0], decode_tokens=[1], context_tokens=[0],
    )  # fmt: skip
    return pb.ReportStepsRequest(
        worker_id="w", model_id="small", boot_id="elsewhere", monotonic_nanoseconds=1 + second * SECOND,
        cpu_seconds=0.5 * second, generations=[told] if finished else [], steps=[step] if finished else [],
        tier=common_pb2.STEP_TIER_TOKEN_TIMES,
    )  # fmt: skip


async def messplus_energy(zoo: Path, *arguments: str) -> tuple[int, str]:
    command = ["energy", *arguments, "--zoo", str(zoo)]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)
    return result.exit_code, result.output


async def test_a_request_is_shown_with_its_joules_and_where_they_come_from(zoo: Path) -> None:
    status, output = await messplus_energy(zoo, "r")
    assert status == 0, output
    assert output.startswith("Request r: 6 J in 1 generation\n")
    assert "process-cpu" in output
    assert "MODELLED" in output
    assert "Building: 9 J (x PUE 1.5, configured)" in output


async def test_as_json_joules_stay_what_the_service_says(zoo: Path) -> None:
    status, output = await messplus_energy(zoo, "r", "--json")
    assert status == 0, output
    document = json.loads(output)
    assert (document["energy_joules"], document["generations"][0]["energy_joules"]) == (6.0, 6.0)
    assert document["facility"] == {"pue": 1.5, "energy_joules": 9.0}


async def test_an_unknown_request_is_one_line_with_the_remedy(zoo: Path) -> None:
    status, output = await messplus_energy(zoo, "nobody")
    assert status == 1
    (line,) = output.splitlines()
    assert line.startswith("messplus: zoo 'energetic' has no joules of request 'nobody'")
    assert "take request_id, not decision_id" in line


async def test_without_a_service_one_line_says_what_to_do(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    status, output = await messplus_energy(zoo_file(tmp_path, address), "r")
    assert status == 1
    (line,) = output.splitlines()
    assert line.startswith(f"messplus: no energy service answers at {address} (")
    assert "start the system with `messplus up`" in line
