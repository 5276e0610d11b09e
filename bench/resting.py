"""Memory of each service at rest, and how long `messplus up` takes once models are cached."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from bench.report import Row
from bench.system import running_system
from cli.local.ports import free_addresses
from cli.options import embedded_zoo_file

REST_SECONDS = 5.0
READY_SECONDS = 60.0


def measure_memory(folder: Path) -> list[Row]:
    """Resident memory some seconds after the start, nothing running."""
    with running_system(folder, 3, 0, 1) as system:
        time.sleep(REST_SECONDS)
        megabytes = {name: system.resident_megabytes(name) for name in ("router", "feedback", "energy")}
    limits = {"router": 200, "feedback": 200, "energy": 120}
    return [Row(f"memory of {name} at rest", megabytes[name], "MB", "<=", limits[name]) for name in limits]


def measure_startup(folder: Path) -> list[Row]:
    """Seconds from the command to "Ready after", with the embedded zoo's three real models."""
    embedded = embedded_zoo_file()
    zoo = yaml.safe_load(embedded.read_text())
    energy, router, feedback, *workers = free_addresses(3 + len(zoo["workers"]))
    for worker, address in zip(zoo["workers"], workers, strict=True):
        worker["address"] = address
    zoo |= {"energy": zoo["energy"] | {"address": energy}, "router_addresses": [router]}
    zoo["feedback_address"] = feedback
    for model in zoo["models"]:
        profile = model["prior"]["profile"]
        profile["file"] = str(embedded.parent / profile["file"])
    file = folder / "zoo.yaml"
    file.write_text(yaml.safe_dump(zoo, sort_keys=False))
    seconds = sorted(_seconds_until_ready(file, folder / f"data{i}") for i in range(3))
    return [Row("messplus up, three models cached, to ready", seconds[1], "s", "<", 15)]


def _seconds_until_ready(zoo: Path, data: Path) -> float:
    messplus = Path(sys.executable).parent / "messplus"
    command = [str(messplus), "up", "--zoo", str(zoo), "--data-dir", str(data)]
    began = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("Ready after"):
                    return time.monotonic() - began
                if time.monotonic() - began > READY_SECONDS:
                    break
            raise RuntimeError("messplus up did not become ready")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
