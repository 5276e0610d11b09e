"""The router as a process: a stop signal loses nothing, a wrong configuration ends it with every problem."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import redis
import yaml
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb
from messplus.router.v1 import router_service_pb2_grpc

from services.common.keys import Keys
from tests.conftest import free_port
from tests.contract.router_system import DEADLINE_SECONDS, ZOO, ScriptedWorker, serving, zoo_of

PROMPT = common_pb2.Prompt(text="What is 6 times 7?")


def start(folder: Path, zoo: dict[str, object], **environment: str) -> "subprocess.Popen[str]":
    (folder / "zoo.yaml").write_text(yaml.safe_dump(zoo))
    return subprocess.Popen(
        [sys.executable, "-m", "services.router"],
        env={**os.environ, "MESSPLUS_ZOO_FILE": str(folder / "zoo.yaml"), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_stop_signal_loses_no_decision(redis_url: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    worker = ScriptedWorker("small")
    async with serving(worker), grpc.aio.insecure_channel(address) as channel:
        process = start(tmp_path, zoo_of([worker]), MESSPLUS_REDIS_URL=redis_url, MESSPLUS_ADDRESS=address)
        stub = router_service_pb2_grpc.RouterServiceStub(channel)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (await stub.ListModels(pb.ListModelsRequest(), wait_for_ready=True)).models[0].ready:
                await asyncio.sleep(0.02)
        calls = [stub.Decide(pb.DecideRequest(prompt=PROMPT)) for _ in range(100)]
        answered = {(await call).decision.request_id for call in calls}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, DEADLINE_SECONDS) == 0
    assert process.stderr is not None
    process.stderr.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.xlen(Keys(ZOO).events) == len(answered) == 100


@pytest.mark.parametrize(
    ("policy", "address", "named"),
    [("nonsense", "", "nonsense"), ("single:small", "nowhere", "MESSPLUS_ADDRESS")],
)
def test_a_wrong_configuration_ends_with_status_2(
    tmp_path: Path, policy: str, address: str, named: str
) -> None:
    zoo = zoo_of([ScriptedWorker("small", address="127.0.0.1:1")], policy={"name": policy})
    process = start(tmp_path, zoo, MESSPLUS_ADDRESS=address)
    _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 2
    assert named in errors
