"""Redis stopped and started again under a running router; two routers at once; damaged snapshots."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import redis
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb

from services.common.learning import feature_count_of, policy_of, priors_of
from services.common.zoo_file import parse_zoo
from services.core.fold import Fold
from tests.conftest import free_port, start_valkey
from tests.contract.router_system import (
    ScriptedWorker,
    System,
    explained,
    generated,
    running_router,
    serving,
    zoo_of,
)

PROMPT = common_pb2.Prompt(text="What is 6 times 7?")
_DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


@pytest.fixture
async def worker() -> AsyncIterator[ScriptedWorker]:
    worker = ScriptedWorker("small")
    async with serving(worker):
        yield worker


class Store:
    """A Valkey with an append-only file that a test may stop and start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self.process = await asyncio.to_thread(start_valkey, self.port, self.folder, *_DURABLE)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    store = Store(folder)
    await store.start()
    yield store
    store.kill()


async def decide_all(system: System, prefix: str, count: int) -> list[pb.Decision]:
    """Half with ids of the client, half with minted ones; a decision each."""
    requests = [
        pb.DecideRequest(prompt=PROMPT, request_id=f"{prefix}-{i}" if i % 2 else "") for i in range(count)
    ]
    replies = await asyncio.gather(*(system.stub.Decide(request) for request in requests))
    return [reply.decision for reply in replies]


async def test_every_decision_of_an_outage_is_in_the_log_once(
    store: Store, tmp_path: Path, worker: ScriptedWorker
) -> None:
    async with running_router(store.url, tmp_path, zoo_of([worker])) as system:
        decided = await decide_all(system, "before", 40)
        flying = asyncio.create_task(decide_all(system, "during", 60))
        await asyncio.sleep(0)
        store.kill()
        decided += await flying
        await system.eventually(lambda: system.router.shared.commits.degraded)
        late = await decide_all(system, "away", 60)
        answer = await generated(system.stub, pb.GenerateRequest(prompt=PROMPT))
        assert all(decision.degraded for decision in [*late, answer[0]])
        await store.start()
        await system.eventually(
            lambda: not system.router.shared.commits.degraded and not len(system.router.shared.commits)
        )
        wanted = sorted(d.request_id for d in [*decided, *late, answer[0]])
        logged = system.decisions()
        assert sorted(d.request_id for d in logged) == wanted
        assert [d.step for d in logged] == list(range(1, len(wanted) + 1))


async def test_a_full_buffer_refuses_more(store: Store, tmp_path: Path, worker: ScriptedWorker) -> None:
    zoo = zoo_of([worker], routing={"degraded_buffer_decisions": 5})
    async with running_router(store.url, tmp_path, zoo) as system:
        store.kill()
        for _ in range(5):
            await system.stub.Decide(pb.DecideRequest(prompt=PROMPT))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await system.stub.Decide(pb.DecideRequest(prompt=PROMPT))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await store.start()
        await system.eventually(lambda: not len(system.router.shared.commits))
        assert len(system.decisions()) == 5


async def test_explaining_without_the_log_says_that_the_log_is_away(
    store: Store, tmp_path: Path, worker: ScriptedWorker
) -> None:
    async with running_router(store.url, tmp_path, zoo_of([worker])) as system:
        store.kill()
        status, output = await explained(tmp_path, "r", system.address)
        assert status == 1
        (line,) = output.splitlines()
        assert "a router answers, but the event log cannot be reached" in line
        assert "see that Redis is up" in line


async def test_two_routers_under_load_agree_with_the_log(
    redis_url: str, tmp_path: Path, worker: ScriptedWorker
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    zoo = zoo_of([worker])
    async with running_router(redis_url, tmp_path, zoo) as one, running_router(redis_url, other, zoo) as two:
        await asyncio.gather(decide_all(one, "one", 200), decide_all(two, "two", 200))
        await one.eventually(
            lambda: not len(one.router.shared.commits) and not len(two.router.shared.commits)
        )
        decisions = one.decisions()
        assert [d.step for d in decisions] == list(range(1, 401))
        assert len({d.request_id for d in decisions}) == 400
        debt = 0.0
        for decision in decisions:
            debt += decision.min_satisfaction - decision.charged_satisfaction
        assert float(one.client.hget(one.keys.sla_class("standard"), "debt")) == debt


def publish(client: "redis.Redis", system: System, version: int, parts: dict[str, bytes]) -> None:
    client.hset(system.keys.learner, mapping={**parts, "version": version})
    client.publish(system.keys.snapshots, str(version))


async def test_a_damaged_snapshot_is_refused_and_the_last_good_one_serves(
    redis_url: str, tmp_path: Path, worker: ScriptedWorker, caplog: pytest.LogCaptureFixture
) -> None:
    document = zoo_of([worker], policy={"name": "messplus-2025"})
    zoo = parse_zoo(document, "test")
    fold = Fold(policy_of(zoo), priors_of(zoo), feature_count_of(zoo))
    good = fold.checkpoint_delta().parts_changed
    async with running_router(redis_url, tmp_path, document) as system:
        assert (await decide_all(system, "x", 1))[0].snapshot_version == 0
        publish(system.client, system, 7, good)
        snapshots = system.router.routes.snapshots
        await system.eventually(lambda: snapshots.current is not None and snapshots.current.version == 7)
        publish(system.client, system, 8, {**good, "control": good["control"].replace(b'"energy":', b'"e":')})
        await system.eventually(lambda: "snapshot 8 is refused, version 7 stays" in caplog.text)
        assert (await decide_all(system, "y", 1))[0].snapshot_version == 7
        publish(system.client, system, 9, good)
        await system.eventually(lambda: snapshots.current is not None and snapshots.current.version == 9)
