"""What a worker adds to each streamed chunk: the same engine through its gRPC stream and consumed directly.

Both ways run in turn in one run. At 100 chunks/s the delay of every chunk is measured, from the time that the
server stamped on it; at full speed the time of a whole answer, by its chunks.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop
import yaml
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from bench.report import Row
from bench.system import System
from cli.local.ports import free_addresses, free_ports
from services.common.zoo import ModelSettings
from services.worker.engines import make_engine
from services.worker.generation import EngineFinished, GenerationTask, Message, Sampling
from services.worker.ports import Engine

PAUSE_SECONDS, PACED_CHUNKS, FAST_CHUNKS, ROUNDS = 0.01, 300, 2000, 5
NOWHERE = "redis://127.0.0.1:1/0"
Piece = tuple[str, int]
"""Text and when it came, monotonic ns."""


class NoMeter:
    """Hears of work and forgets it."""

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        """See WorkMeter."""


@dataclass
class Ways:
    """The two ways to one engine."""

    engine: Engine
    worker: worker_service_pb2_grpc.WorkerServiceStub
    prompt: str
    chunks: int

    async def direct(self) -> list[Piece]:
        task = GenerationTask("r", "g", (Message("user", self.prompt),), Sampling(max_tokens=self.chunks))
        async with aclosing(self.engine.generate(task, NoMeter())) as events:
            return [(e.text, time.monotonic_ns()) async for e in events if not isinstance(e, EngineFinished)]

    async def relayed(self) -> list[Piece]:
        request = worker_service_pb2.GenerateRequest(
            request_id="r",
            generation_id="g",
            prompt=common_pb2.Prompt(text=self.prompt),
            sampling=common_pb2.SamplingParameters(max_tokens=self.chunks),
        )
        call = self.worker.Generate(request, timeout=60)
        return [(m.delta.text, time.monotonic_ns()) async for m in call if m.HasField("delta")]


def measure(folder: Path) -> list[Row]:
    """Paced and fast with engine openai, fast with engine echo."""
    bare = uvloop.run(_bare(folder))
    paced = uvloop.run(_compare(folder, PAUSE_SECONDS, PACED_CHUNKS, delays=True))
    fast = uvloop.run(_compare(folder, 0.0, FAST_CHUNKS, delays=False))
    echo = uvloop.run(_compare(folder, None, FAST_CHUNKS, delays=False))
    return [
        Row("bare gRPC stream, 100 messages/s: delay, p50 (yardstick)", bare, "ms", ">=", 0),
        Row("worker relay, engine openai, 100 chunks/s: delay added per chunk, p50", paced, "ms", "<=", 0.3),
        Row("worker relay, engine openai, full speed: time added per chunk", fast, "ms", "<=", 0.3),
        Row("worker relay, engine echo, full speed: time added per chunk", echo, "ms", "<=", 0.3),
    ]


async def _bare(folder: Path) -> float:
    """Median delay of a message on a gRPC stream that does nothing else, ms."""
    system = System(folder)
    (port,) = free_ports(1)
    try:
        system.start("bare", [sys.executable, "-m", "bench.grpc_stream", str(port)], None)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = channel.unary_stream(
                "/bench.Stream/Stream",
                request_serializer=worker_service_pb2.GenerateRequest.SerializeToString,
                response_deserializer=worker_service_pb2.GenerateResponse.FromString,
            )
            sampling = common_pb2.SamplingParameters(max_tokens=PACED_CHUNKS)
            request = worker_service_pb2.GenerateRequest(sampling=sampling)
            rounds = []
            for _ in range(ROUNDS):
                call = stream(request, timeout=60, wait_for_ready=True)
                rounds.append(_delay([(m.delta.text, time.monotonic_ns()) async for m in call], PACED_CHUNKS))
        return statistics.median(rounds)
    finally:
        system.stop()


async def _compare(folder: Path, pause: float | None, chunks: int, delays: bool) -> float:
    """Median over the rounds of what the worker adds, ms; the first round warms up."""
    figure = _delay if delays else _span
    async with _running(folder, pause, chunks) as ways:
        added = []
        for _ in range(ROUNDS + 1):
            direct, relayed = await ways.direct(), await ways.relayed()
            added.append(figure(relayed, chunks) - figure(direct, chunks))
    return statistics.median(added[1:])


def _delay(pieces: list[Piece], chunks: int) -> float:
    """Median delay of a chunk, ms."""
    delays = [(came - int(stamp)) / 1e6 for text, came in pieces for stamp in text.split()]
    assert len(delays) == chunks
    return statistics.median(delays)


def _span(pieces: list[Piece], chunks: int) -> float:
    """Time from the first to the last piece by chunks, ms."""
    return (pieces[-1][1] - pieces[0][1]) / 1e6 / chunks


@asynccontextmanager
async def _running(folder: Path, pause: float | None, chunks: int) -> AsyncIterator[Ways]:
    """A worker, and the engine that it runs in this process as well; without a pause it is echo."""
    address, energy = free_addresses(2)
    (port,) = free_ports(1)
    model: dict[str, object] = {"id": "m", "engine": "echo", "context_window_tokens": 8192}
    if pause is not None:
        model |= {"engine": "openai", "server": {"urls": [f"http://127.0.0.1:{port}/v1"]}}
    system = System(folder, redis_url=NOWHERE)
    system.zoo_file = folder / "zoo.yaml"
    system.zoo_file.write_text(yaml.safe_dump(_zoo(model, address, energy)))
    engine = make_engine(ModelSettings(**model))  # type: ignore[arg-type]
    try:
        if pause is not None:
            command = [sys.executable, "-m", "bench.stream_server", str(port), str(pause)]
            system.start("stream", command, None)
        system.start_service("worker", "worker", None, MESSPLUS_MODEL="m")
        await asyncio.to_thread(system.wait_ready, "worker", address)
        await engine.load()
        async with grpc.aio.insecure_channel(address) as channel:
            stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
            yield Ways(engine, stub, "word " * chunks, chunks)
    finally:
        await engine.close()
        system.stop()


def _zoo(model: dict[str, object], address: str, energy: str) -> dict[str, object]:
    return {
        "name": "relay",
        "models": [model],
        "workers": [{"model": "m", "address": address}],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.5}],
        "energy": {"address": energy},
    }
