"""The feedback service as a process: it starts, says why when it cannot, and stops cleanly."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import yaml
from feedback_process import append, covers, eventually, feedback_process, random_log, zoo_data
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.keys import Keys


def test_a_stopped_learner_gives_its_lease_back(redis_url, tmp_path):
    with redis.Redis.from_url(redis_url) as client:
        append(client, "stop", random_log(8, 300), 1)
        with feedback_process(tmp_path, redis_url, zoo_data("stop"), lease_seconds=60) as learner:
            eventually(lambda: covers(client, "stop", 300), "it learns")
            learner.process.send_signal(signal.SIGTERM)
            assert learner.process.wait(timeout=20) == 0
        assert not client.exists(Keys("stop").lease)
        [log] = tmp_path.glob("*.log")
        assert "Traceback" not in log.read_text()


def test_it_serves_while_its_log_is_there(redis_url, tmp_path):
    with feedback_process(tmp_path, redis_url, zoo_data("health")) as service:
        health = health_pb2_grpc.HealthStub(service.channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        eventually(
            lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == serving, "it serves"
        )


def test_at_rest_it_needs_at_most_200_megabytes(redis_url, tmp_path):
    with feedback_process(tmp_path, redis_url, zoo_data("rest")) as service:
        eventually(service.leads, "it leads")
        pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") <= 200 * 2**20


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"policy": {"name": "luck"}}, ["policy", "luck", "messplus-2025"]),
        ({"policy": {"name": "messplus-2025", "parameters": {"speed": 1}}}, ["speed"]),
        ({"feedback_address": "nowhere"}, ["zoo.yaml", "feedback_address", "nowhere"]),
    ],
    ids=["policy", "parameter", "address"],
)
def test_a_wrong_zoo_ends_it_with_the_reason(redis_url, tmp_path, changed, named):
    zoo_file = tmp_path / "zoo.yaml"
    zoo_file.write_text(yaml.safe_dump(zoo_data("wrong", **changed)))
    environment = os.environ | {"MESSPLUS_ZOO_FILE": str(zoo_file), "MESSPLUS_REDIS_URL": redis_url}
    command = [sys.executable, "-m", "services.feedback"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert all(word in ended.stderr for word in named)
    assert "Traceback" not in ended.stderr
