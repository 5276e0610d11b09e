"""What a worker adds to each streamed chunk, between an engine's server and a client.

Paced, the delay of every chunk is measured, from the time that the server stamped on it to its arrival, on
four ways that run in turn in one run:

* straight from the server to a socket, and through the worker to a socket: their difference is what
  the worker adds, and is judged. Reading the server's protocol and writing ours is part of it, no client is;
* the worker's engine consumed in this process;
* through the worker to grpc.aio's client, as a router reads it.

At full speed it is the time of a whole answer, by its chunks, of the last two.
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

from bench import wire
from bench.report import Row
from bench.system import System
from cli.local.ports import free_addresses, free_ports
from services.common.zoo import ModelSettings
from services.worker.engines import make_engine
from services.worker.generation import EngineFinished, GenerationTask, Message, Sampling
from services.worker.ports import Engine

PACED_CHUNKS, FAST_CHUNKS, ROUNDS = 300, 2000, 5
CROWDS = ((1, 100, 300), (8, 100, 200), (32, 25, 50))
"""Streams at a time, chunks/s and chunks of each; two cores do not carry 32 streams of 100 chunks/s."""
NOWHERE = "redis://127.0.0.1:1/0"


class NoMeter:
    """Hears of work and forgets it."""

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        """See WorkMeter."""


@dataclass
class Ways:
    """The ways from one server; `server` is empty where the engine has none."""

    engine: Engine
    worker: worker_service_pb2_grpc.WorkerServiceStub
    server: str
    address: str
    prompt: str
    chunks: int

    async def straight(self) -> list[wire.Piece]:
        return await wire.read_events(self.server, self.chunks)

    async def through(self) -> list[wire.Piece]:
        return await wire.read_call(self.address, self._request())

    async def direct(self) -> list[wire.Piece]:
        task = GenerationTask("r", "g", (Message("user", self.prompt),), Sampling(max_tokens=self.chunks))
        async with aclosing(self.engine.generate(task, NoMeter())) as events:
            return [(e.text, time.monotonic_ns()) async for e in events if not isinstance(e, EngineFinished)]

    def _request(self) -> worker_service_pb2.GenerateRequest:
        return worker_service_pb2.GenerateRequest(
            request_id="r",
            generation_id="g",
            prompt=common_pb2.Prompt(text=self.prompt),
            sampling=common_pb2.SamplingParameters(max_tokens=self.chunks),
        )

    async def relayed(self) -> list[wire.Piece]:
        call = self.worker.Generate(self._request(), timeout=60)
        return [(m.delta.text, time.monotonic_ns()) async for m in call if m.HasField("delta")]


def measure(folder: Path) -> list[Row]:
    """Paced and fast with engine openai, fast with engine echo."""
    bare = uvloop.run(_bare(folder))
    paced = [row for crowd in CROWDS for row in uvloop.run(_paced(folder, *crowd))]
    fast = uvloop.run(_fast(folder, 0.0))
    echo = uvloop.run(_fast(folder, None))
    return [
        *paced,
        Row("bare grpc.aio stream, 100 messages/s: delay, p50", bare, "ms"),
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


async def _paced(folder: Path, streams: int, rate: int, chunks: int) -> list[Row]:
    """Medians over the rounds of the delays of all streams, ms; the first round warms up."""
    async with _running(folder, 1 / rate, chunks) as ways:
        each = (ways.straight, ways.through, ways.direct, ways.relayed)
        delays: list[list[float]] = [[] for _ in each]
        for _ in range(ROUNDS):
            for way, found in zip(each, delays, strict=True):
                answers = await asyncio.gather(*(way() for _ in range(streams)))
                found.append(statistics.median(_delay(pieces, chunks) for pieces in answers))
    straight, through, direct, relayed = (statistics.median(found[1:]) for found in delays)
    what = f"{streams} x {rate} chunks/s:"
    return [
        Row(f"{what} delay straight from the server to a socket, p50", straight, "ms"),
        Row(f"{what} delay added by the worker", through - straight, "ms", "<=", 0.3),
        Row(f"{what} the worker less its engine alone", through - direct, "ms"),
        Row(f"{what} the worker read by grpc.aio less its engine alone", relayed - direct, "ms"),
    ]


async def _fast(folder: Path, pause: float | None) -> float:
    """Median over the rounds of the time that the worker adds per chunk, ms; the first round warms up."""
    async with _running(folder, pause, FAST_CHUNKS) as ways:
        added = []
        for _ in range(ROUNDS + 1):
            direct, relayed = await ways.direct(), await ways.relayed()
            added.append(_span(relayed, FAST_CHUNKS) - _span(direct, FAST_CHUNKS))
    return statistics.median(added[1:])


def _delay(pieces: list[wire.Piece], chunks: int) -> float:
    """Median delay of a chunk, ms."""
    delays = [(came - int(stamp)) / 1e6 for text, came in pieces for stamp in text.split()]
    assert len(delays) == chunks
    return statistics.median(delays)


def _span(pieces: list[wire.Piece], chunks: int) -> float:
    """Time from the first to the last piece by chunks, ms."""
    return (pieces[-1][1] - pieces[0][1]) / 1e6 / chunks


@asynccontextmanager
async def _running(folder: Path, pause: float | None, chunks: int) -> AsyncIterator[Ways]:
    """A worker, and the engine that it runs in this process as well; without a pause it is echo."""
    address, energy = free_addresses(2)
    (port,) = free_ports(1)
    model: dict[str, object] = {
        "id": "m",
        "engine": "echo",
        "context_window_tokens": 8192,
        "max_batch_size": 64,
    }
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
            server = "" if pause is None else f"127.0.0.1:{port}"
            yield Ways(engine, stub, server, address, "word " * chunks, chunks)
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
