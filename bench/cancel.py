"""A client cancels: how soon llama.cpp's slot is free, through router and worker, and who pays the joules."""

import asyncio
import statistics
import time
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
TASK = "Count from one to five hundred in words, separated by commas: one, two, three"
LONG_PROMPT = "The quick brown fox jumps over the lazy dog. " * 60
READING_SECONDS = 0.5
"""After that llama.cpp reads the long prompt, and will for seconds."""
ENERGY_SECONDS = FREE_SECONDS = 20.0


def measure(folder: Path) -> list[Row]:
    """Cancels while llama.cpp writes, and while it reads a long prompt."""
    (port,) = free_ports(1)
    energy, router, feedback, worker = free_addresses(4)
    zoo: dict[str, object] = {
        "name": f"cancel{port}",
        "models": [{"id": MODEL, "source": MODEL, "max_batch_size": 1, "max_queue_size": 0}],
        "workers": [{"model": MODEL, "address": worker}],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.5}],
        "policy": {"name": f"single:{MODEL}"},
        "energy": {"address": energy},
        "router_addresses": [router],
        "feedback_address": feedback,
    }
    with running_zoo(folder, zoo, port) as system:
        return uvloop.run(_measure(system, router, worker))


async def _measure(system: System, router: str, worker: str) -> list[Row]:
    async with grpc.aio.insecure_channel(router) as to_router, grpc.aio.insecure_channel(worker) as to_worker:
        bench = _Bench(
            router_service_pb2_grpc.RouterServiceStub(to_router),
            worker_service_pb2_grpc.WorkerServiceStub(to_worker),
        )
        writing = [await bench.cancelled_while_writing() for _ in range(CANCELS)]
        reading = [await bench.cancelled_while_reading() for _ in range(CANCELS // 2)]
    found = await asyncio.to_thread(_joules_found, system, [one.request_id for one in writing])
    times = [one.milliseconds for one in writing]
    return [
        Row("client cancels, llama.cpp writes: slot free, p50", statistics.median(times), "ms", "<=", 100),
        Row("client cancels, llama.cpp writes: slot free, slowest", max(times), "ms", "<=", 100),
        Row("client cancels, llama.cpp reads: slot free, slowest", max(reading), "ms", "<=", 100),
        Row("cancelled requests with joules in the log / cancelled", found / len(writing), "", "==", 1),
    ]


@dataclass(frozen=True)
class _Cancelled:
    request_id: str
    milliseconds: float


@dataclass
class _Bench:
    """A client of the router, and one of the worker that looks whether its only slot is free."""

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

    async def cancelled_while_reading(self) -> float:
        prompt = common_pb2.Prompt(text=f"{time.monotonic_ns()} {LONG_PROMPT}")
        call = self.router.Generate(router_service_pb2.GenerateRequest(prompt=prompt))
        await asyncio.sleep(READING_SECONDS)
        return await self._until_free(call)

    async def _until_free(self, call: "grpc.aio.UnaryStreamCall") -> float:  # type: ignore[type-arg]
        """Milliseconds from now, when the call is cancelled, to the first try that the worker takes."""
        began = time.monotonic()
        call.cancel()
        while time.monotonic() < began + FREE_SECONDS:
            asked = time.monotonic()
            if await self._free():
                return (asked - began) * 1e3
        raise RuntimeError(f"llama.cpp's slot is not free {FREE_SECONDS:g} s after its client cancelled")

    async def _free(self) -> bool:
        """Whether the worker takes a generation now: a full one refuses at once."""
        call = self.worker.Generate(
            worker_service_pb2.GenerateRequest(
                request_id="probe",
                generation_id=f"probe{time.monotonic_ns()}",
                prompt=common_pb2.Prompt(text="x"),
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
