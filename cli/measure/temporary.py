"""Workers of one model for a measurement, with an energy service beside them, gone once it ends."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.demo.stage import write_zoo
from cli.failure import CommandError
from cli.local.data_directory import DataDirectory, opened
from cli.local.plan import plan_system
from cli.local.ports import free_addresses
from cli.local.session import run_system
from cli.local.supervisor import Supervisor
from cli.local.weights import pull_missing
from services.common.zoo import EnergySettings, ModelSettings, Zoo
from services.common.zoo_file import parse_zoo

DRAIN_SECONDS = 2.0
_KINDS = ("valkey", "energy", "worker")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a running temporary system answers."""

    workers: tuple[str, ...]
    energy: str


def temporary_zoo(model: ModelSettings, energy: EnergySettings, replicas: int) -> Zoo:
    """A zoo of one model with `replicas` workers, on free ports of loopback."""
    router, feedback, energy_place, *workers = free_addresses(3 + replicas)
    data: dict[str, Any] = {
        "name": "measure",
        "models": [model.model_dump(mode="json", exclude_unset=True) | {"prior": {}}],
        "workers": [{"model": model.id, "address": address} for address in workers],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.5}],
        "energy": energy.model_dump(mode="json", exclude_unset=True) | {"address": energy_place},
        "router_addresses": [router],
        "feedback_address": feedback,
    }
    return parse_zoo(data, "measurement")


def run_temporary(zoo: Zoo, work: Callable[[Places], Awaitable[None]], console: Console) -> bool:
    """Starts the workers of `temporary_zoo`, does `work`, stops them. Returns False where interrupted.

    Raises CommandError where they do not start (their logs are kept then), and what `work` raises.
    """
    pull_missing(zoo, console)
    places = Places(tuple(worker.address for worker in zoo.workers), zoo.energy.address)
    with _scratch() as data:
        zoo_file = data.root / "zoo.yaml"
        write_zoo(zoo, zoo_file)
        specs = plan_system(zoo, zoo_file, data, zoo.router_addresses, DRAIN_SECONDS)
        needed = [spec for spec in specs if spec.kind in _KINDS]
        return asyncio.run(run_system(Supervisor(needed, data, DRAIN_SECONDS), lambda: work(places)))


@contextmanager
def _scratch() -> Iterator[DataDirectory]:
    """A data directory that is deleted at the end; where the workers failed, the error names its logs."""
    folder = Path(tempfile.mkdtemp(prefix="messplus-measure-"))
    try:
        with opened(folder, fresh=False) as data:
            yield data
    except CommandError as error:
        if str(folder) in str(error):
            raise
        shutil.rmtree(folder)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
