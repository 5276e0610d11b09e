"""A client cancels: how soon llama.cpp's slot is free, through router and worker, and who pays the joules."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import redis
import uvloop
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from bench.report import Row
from bench.system import System, running_zoo
from cli.local.ports import free_addresses, free_ports
from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.core.events import EnergyAttributed

MODEL, CANCELS, DELTAS_BEFORE = "smollm2-135m", 12, 5
SHORT_STEP, DEFAULT_STEP = 8, 64
"""Tokens of a prompt that a step reads: so few that smollm2-135m needs less than 0.1 s, and the default."""
TASK = "Count from one to five hundred in words, separated by commas: one, two, three"
LONG_PROMPT = "The quick brown fox jumps over the lazy dog. " * 60
PRICED_PROMPT = "The quick brown fox jumps over the lazy dog. " * 20
READING_SECONDS, APART_SECONDS = 0.5, 0.07
"""llama.cpp reads the long prompt then, and will for seconds; cancels come at different points of a step."""
SETTLE_SECONDS = 0.05
"""From a probe's last message to its slot being free."""
ENERGY_SECONDS = FREE_SECONDS = 20.0


def measure(folder: Path) -> list[Row]:
    """Cancels while llama.cpp writes, and while it reads a long prompt in steps of either length."""
    with _running(folder, DEFAULT_STEP) as default, _running(folder, SHORT_STEP) as short:
        return uvloop.run(_measure(default, short))


@contextmanager
def _running(folder: Path, step_tokens: int) -> Iterator[System]:
    """A system of one model with one slot."""
    (port,) = free_ports(1)
    energy, router, feedback, worker = free_addresses(4)
    model = {"id": MODEL, "source": MODEL, "max_batch_size": 1, "max_queue_size": 0}
    zoo: dict[str, object] = {
        "name": f"cancel{port}",
        "models": [model | {"prefill_chunk_tokens": step_tokens}],
        "workers": [{"model": MODEL, "address": worker}],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.5}],
        "policy": {"name": f"single:{MODEL}"},
        "energy": {"address": energy},
        "router_addresses": [router],
        "feedback_address": feedback,
    }
    own = folder / str(step_tokens)
    own.mkdir()
    with running_zoo(own, zoo, port) as system:
        yield system


async def _measure(default: System, short: System) -> list[Row]:
    async with _bench(default) as bench, _bench(short) as quick:
        writing = [await bench.cancelled_while_writing() for _ in range(CANCELS)]
        moments = [READING_SECONDS + APART_SECONDS * i for i in range(CANCELS // 2)]
        reading = [await bench.cancelled_while_reading(moment) for moment in moments]
        in_short = [await quick.cancelled_while_reading(moment) for moment in moments]
        prices = [(await quick.price(), await bench.price()) for _ in range(CANCELS // 2)]
    cancelled = [(default, writing + reading), (short, in_short)]
    found = [await asyncio.to_thread(_joules_found, s, [c.request_id for c in some]) for s, some in cancelled]
    count = sum(len(some) for _, some in cancelled)
    short_price, price = (statistics.median(seconds) for seconds in zip(*prices, strict=True))
    what = "client cancels, llama.cpp"
    return [
        Row(f"{what} writes: slot free, p50", statistics.median(_times(writing)), "ms", "<=", 100),
        Row(f"{what} writes: slot free, slowest", max(_times(writing)), "ms", "<=", 100),
        Row(f"{what} reads by {SHORT_STEP}: slot free, slowest", max(_times(in_short)), "ms", "<=", 100),
        Row(f"{what} reads by {DEFAULT_STEP}: slot free, slowest", max(_times(reading)), "ms", "<=", 100),
        Row(f"CPU-seconds of reading by {SHORT_STEP} / by {DEFAULT_STEP}", short_price / price, ""),
        Row("cancelled requests with joules in the log / cancelled", sum(found) / count, "", "==", 1),
    ]


def _times(cancelled: "list[_Cancelled]") -> list[float]:
    return [one.milliseconds for one in cancelled]


@asynccontextmanager
async def _bench(system: System) -> "AsyncIterator[_Bench]":
    router, worker = system.zoo["router_addresses"][0], system.zoo["workers"][0]["address"]  # type: ignore[index]
    async with grpc.aio.insecure_channel(router) as to_router, grpc.aio.insecure_channel(worker) as to_worker:
        yield _Bench(
            system,
            router_service_pb2_grpc.RouterServiceStub(to_router),
            worker_service_pb2_grpc.WorkerServiceStub(to_worker),
        )


@dataclass(frozen=True)
class _Cancelled:
    request_id: str
    milliseconds: float


@dataclass
class _Bench:
    """A client of the router, and one of the worker that looks whether its only slot is free."""

    system: System
    router: router_service_pb2_grpc.RouterServiceStub
    worker: worker_service_pb2_grpc.WorkerServiceStub

    async def cancelled_while_writing(self) -> _Cancelled:
        sampling = common_pb2.SamplingParameters(max_tokens=800)
        prompt = common_pb2.Prompt(text=TASK)
        call = self.router.Generate(router_service_pb2.GenerateRequest(prompt=prompt, sampling=sampling))
        request_id, deltas = "", 0
        while deltas < DELTAS_BEFORE:
            message = await call.read()
            request_id = message.decision.request_id or request_id
            deltas += message.HasField("delta")
        return _Cancelled(request_id, await self._until_free(call))

    async def cancelled_while_reading(self, seconds: float) -> _Cancelled:
        request_id = f"reading{time.monotonic_ns()}"
        prompt = common_pb2.Prompt(text=f"{request_id} {LONG_PROMPT}")
        call = self.router.Generate(router_service_pb2.GenerateRequest(request_id=request_id, prompt=prompt))
        await asyncio.sleep(seconds)
        return _Cancelled(request_id, await self._until_free(call))

    async def price(self) -> float:
        """CPU-seconds that the worker takes to read one prompt."""
        before = self.system.cpu_seconds(f"worker-{MODEL}")
        if not await self._free(f"{time.monotonic_ns()} {PRICED_PROMPT}"):
            raise RuntimeError("the worker was asked for a price while it was busy")
        return self.system.cpu_seconds(f"worker-{MODEL}") - before

    async def _until_free(self, call: "grpc.aio.UnaryStreamCall") -> float:  # type: ignore[type-arg]
        """Milliseconds from now, when the call is cancelled, to the first try that the worker takes."""
        began = time.monotonic()
        call.cancel()
        while time.monotonic() < began + FREE_SECONDS:
            asked = time.monotonic()
            if await self._free():
                await asyncio.sleep(SETTLE_SECONDS)
                return (asked - began) * 1e3
        raise RuntimeError(f"llama.cpp's slot is not free {FREE_SECONDS:g} s after its client cancelled")

    async def _free(self, prompt: str = "x") -> bool:
        """Whether the worker takes a generation now, and runs it: a full one refuses at once."""
        call = self.worker.Generate(
            worker_service_pb2.GenerateRequest(
                request_id="probe",
                generation_id=f"probe{time.monotonic_ns()}",
                prompt=common_pb2.Prompt(text=prompt),
                sampling=common_pb2.SamplingParameters(max_tokens=1),
            )
        )
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False
        return True


def _joules_found(system: System, request_ids: list[str]) -> int:
    """How many of these have joules in the log."""
    key, wanted = Keys(str(system.zoo["name"])).events, set(request_ids)
    deadline = time.monotonic() + ENERGY_SECONDS
    with redis.Redis.from_url(system.redis_url) as client:
        while True:
            events = [decode_entry(*entry).event for entry in client.xrange(key)]
            paid = {
                event.request_id
                for event in events
                if isinstance(event, EnergyAttributed) and event.energy_joules > 0
            }
            if wanted <= paid or time.monotonic() > deadline:
                return len(wanted & paid)
            time.sleep(0.2)
