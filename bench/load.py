"""Load from a C client, so that the client is never what is measured."""

import statistics
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message


@dataclass(frozen=True)
class Load:
    """What a run of the load generator saw."""

    requests: int
    seconds: float
    latencies_microseconds: list[int]

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def median_microseconds(self) -> float:
        return statistics.median(self.latencies_microseconds)


def h2load(
    address: str, method: str, request: Message, requests: int, in_flight: int, core: int, folder: Path
) -> Load:
    """Sends one gRPC request `requests` times over one connection, `in_flight` at once.

    Raises:
        RuntimeError: when any reply was not HTTP 200.

    """
    body, log = folder / "body", folder / "h2load.log"
    payload = request.SerializeToString()
    body.write_bytes(b"\0" + struct.pack(">I", len(payload)) + payload)
    log.unlink(missing_ok=True)
    command = ["taskset", "-c", str(core), "h2load", "-n", str(requests), "-c", "1", "-m", str(in_flight)]
    command += ["-d", str(body), "--log-file", str(log), "-H", "content-type: application/grpc"]
    command += ["-H", "te: trailers", f"http://{address}/{method}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    if f"{requests} succeeded, 0 failed, 0 errored" not in output:
        raise RuntimeError(f"some requests failed:\n{output}")
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    began = min(int(row[0]) for row in rows)
    ended = max(int(row[0]) + int(row[2]) for row in rows)
    return Load(requests, (ended - began) / 1e6, [int(row[2]) for row in rows])
