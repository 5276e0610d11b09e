"""A feedback service as a real process or in this one, and logs for its learner, for the tests beside it."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import redis
import yaml
from conftest import free_port
from messplus.feedback.v1 import feedback_service_pb2 as pb
from messplus.feedback.v1 import feedback_service_pb2_grpc

from services.common.event_codec import encode_event
from services.common.keys import Keys
from services.common.redis_client import connect
from services.common.server import cancel, forever
from services.common.zoo_file import parse_zoo
from services.core.events import Decision, EnergyAttributed, Event, Label, ModelGeneration, Outcome, Role
from services.feedback.labelers import Labelers
from services.feedback.server import change_zoo, compose
from services.feedback.settings import FeedbackSettings

MODELS = ("small", "medium", "large")
DEADLINE_SECONDS = 20.0
# Never reached: an address only has to differ from the others in the file.
_WORKER_PORT = 1


def zoo_data(name: str, models: tuple[str, ...] = MODELS, **sections) -> dict:
    workers = [{"model": m, "address": f"127.0.0.1:{_WORKER_PORT + i}"} for i, m in enumerate(models)]
    return {
        "name": name,
        "models": [{"id": m, "engine": "echo"} for m in models],
        "workers": workers,
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.6}],
        **sections,
    }


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)


@dataclass
class FeedbackProcess:
    """`python -m services.feedback` with a client."""

    process: subprocess.Popen
    channel: grpc.Channel

    @property
    def stub(self) -> feedback_service_pb2_grpc.FeedbackServiceStub:
        return feedback_service_pb2_grpc.FeedbackServiceStub(self.channel)

    def status(self) -> pb.GetLearnerStatusResponse:
        return self.stub.GetLearnerStatus(pb.GetLearnerStatusRequest(), timeout=DEADLINE_SECONDS)

    def leads(self) -> bool:
        try:
            return self.status().is_leader
        except grpc.RpcError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def feedback_process(
    folder: Path, redis_url: str, zoo: dict, lease_seconds: float = 0.6
) -> Iterator[FeedbackProcess]:
    port = free_port()
    zoo_file = folder / f"zoo-{port}.yaml"
    zoo_file.write_text(yaml.safe_dump(zoo))
    environment = os.environ | {
        "MESSPLUS_ZOO_FILE": str(zoo_file),
        "MESSPLUS_REDIS_URL": redis_url,
        "MESSPLUS_ADDRESS": f"127.0.0.1:{port}",
        "MESSPLUS_LEASE_SECONDS": str(lease_seconds),
    }
    with (folder / f"feedback-{port}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "services.feedback"], env=environment, stderr=log)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            ready = grpc.channel_ready_future(channel)
            eventually(lambda: ready.done() or process.poll() is not None, "the service answers")
            assert process.poll() is None, (folder / f"feedback-{port}.log").read_text()
            yield FeedbackProcess(process, channel)
    finally:
        process.kill()
        process.wait()


def decision(request_id: str, step: int, explored: bool = False, features=None, model=MODELS[0]) -> Decision:
    others = tuple(ModelGeneration(m, f"{request_id}-{m}") for m in MODELS if m != model)
    return Decision(
        request_id=request_id,
        sla_class="standard",
        step=step,
        min_satisfaction=0.6,
        snapshot_version=0,
        virtual_queue=0.0,
        decision_debt=0.0,
        step_seen=step,
        seed=step,
        features=np.ones(27) if features is None else features,
        model_ids=MODELS,
        satisfaction_means=(0.5,) * len(MODELS),
        satisfaction_variances=(),
        energy_joules=(1.0, 2.0, 3.0),
        eligible=(True,) * len(MODELS),
        model_id=model,
        generation_id=f"{request_id}-{model}",
        explored=explored,
        charged_satisfaction=0.5,
        policy="messplus-2025",
        explored_generations=others if explored else (),
    )


def outcome(request_id: str, model: str = MODELS[0], role: Role = Role.SERVED, wants_label=False) -> Outcome:
    return Outcome(
        request_id, f"{request_id}-{model}", model, role, 5, 0, 7, 0.1, 0.4, "stop", 1.0, wants_label
    )


def fields_of(event: Event) -> dict[str, object]:
    kind, data = encode_event(event)
    return {"type": kind, "data": data} | ({"step": event.step} if isinstance(event, Decision) else {})


def random_log(seed: int, length: int) -> list[dict[str, object]]:
    """A log that learns: labels and joules early, late, twice, for nobody; explorations; damaged entries."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    timed: list[tuple[float, dict[str, object]]] = []
    for step in range(1, length // 3):
        request_id, explored = f"r{step}", rng.random() < 0.3
        timed.append((step, fields_of(decision(request_id, step, explored, numbers.normal(size=27)))))
        for model in MODELS if explored else MODELS[:1]:
            generation_id = f"{request_id}-{model}"
            delay = rng.choice([-2, 0.1, 1, 50])
            for label_delay in [delay, delay + 3] if rng.random() < 0.1 else [delay]:
                label = Label(request_id, generation_id, float(rng.random() < 0.6), "client")
                timed.append((step + label_delay, fields_of(label)))
            joules = EnergyAttributed(request_id, generation_id, model, rng.uniform(1, 9))
            timed.append((step + rng.uniform(0, 5), fields_of(joules)))
        if rng.random() < 0.05:
            timed.append((step, fields_of(Label(f"nobody{step}", "", 1.0, "client"))))
            timed.append((step, {"type": "label", "data": b"\xff\xff", "note": "damaged"}))
    timed.sort(key=lambda pair: pair[0])
    return [fields for _, fields in timed][:length]


def append(client: redis.Redis, zoo: str, entries: list[dict[str, object]], first_id: int) -> None:
    """Entries with explicit ids, one millisecond each from `first_id`, so that two logs can be the same."""
    pipeline = client.pipeline(transaction=False)
    for number, fields in enumerate(entries):
        pipeline.xadd(Keys(zoo).events, fields, id=f"{first_id + number}-0")
    pipeline.execute()


def covers(client: redis.Redis, zoo: str, entry_id: int) -> bool:
    position = client.hget(Keys(zoo).learner, "position")
    return position is not None and int(position.split(b"-")[0]) >= entry_id


def learned(client: redis.Redis, zoo: str) -> dict[str, object]:
    """All that the learner wrote, but for how often it wrote and under which fence."""
    keys = Keys(zoo)
    state = client.hgetall(keys.learner)
    dead = {(e[b"position"], e[b"reason"], e[b"data"]) for _, e in client.xrange(keys.dead)}
    return {
        "learner": {name: value for name, value in state.items() if name not in (b"version", b"fence")},
        "joins": client.hgetall(keys.joins),
        "dead": dead,
        "dead entries": client.xlen(keys.dead),
    }


@asynccontextmanager
async def learning(redis_url: str, zoo: dict) -> AsyncIterator[Callable[[], Awaitable]]:
    """A learner in this process; gives a function that returns its status once it has learned all."""
    connection = connect(redis_url)
    with ThreadPoolExecutor(1) as executor:
        settings = FeedbackSettings(_env_file=None, lease_seconds=1.0)
        servicer, learner = compose(parse_zoo(zoo, "test"), connection, Labelers(executor, None), settings)
        task = forever("learner", learner.run)

        async def learn_for(other: dict) -> None:
            await change_zoo(learner, settings, parse_zoo(other, "test"))

        async def caught_up() -> pb.GetLearnerStatusResponse:
            async with asyncio.timeout(20):
                while True:
                    status = await servicer.GetLearnerStatus(pb.GetLearnerStatusRequest(), None)
                    if status.is_leader and status.lag_events == 0:
                        return status
                    await asyncio.sleep(0.01)

        caught_up.learn_for = learn_for
        try:
            yield caught_up
        finally:
            await cancel([task])
            await connection.aclose()
