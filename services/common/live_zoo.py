"""The zoo file of a running service: read again at SIGHUP, and what of it may change without a restart.

A service takes over a new zoo as a whole or stays with the one it has. Which zoo it runs is told by its
standard health service, which reports SERVING for the service name `zoo_name`.
"""

import asyncio
import hashlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from services.common.server import ServiceServer
from services.common.zoo import ModelSettings, Zoo
from services.common.zoo_file import load_zoo
from services.core.errors import ConfigError, ConfigProblem

LIVE_SECTIONS = frozenset({"models", "workers", "sla_classes", "learning"})
"""Sections of a zoo file that may change while services run."""
LIVE_MODEL_KEYS = frozenset({"prior", "step_energy"})
"""Settings of a model that may change while it runs; all others mean another model."""
_DIGEST_BYTES = 8
_log = logging.getLogger(__name__)

TakeOver = Callable[[Zoo], Awaitable[None]]
"""Makes a service run another zoo."""


def zoo_name(zoo: Zoo) -> str:
    """Health service name of a zoo: equal files have equal names."""
    digest = hashlib.blake2b(zoo.model_dump_json().encode(), digest_size=_DIGEST_BYTES)
    return f"messplus.zoo.{digest.hexdigest()}"


def changed_zoo(path: Path, current: Zoo) -> Zoo:
    """Reads the file of a running zoo again.

    Raises:
        ConfigError: with every problem of the file, or with every setting in it that takes a restart.

    """
    zoo = load_zoo(path)
    problems = [
        ConfigProblem(str(path), key, str(value), f"{remedy} (running: {now})")
        for key, value, now, remedy in _fixed_settings(current, zoo)
    ]
    if problems:
        raise ConfigError(problems)
    return zoo


def _fixed_settings(current: Zoo, zoo: Zoo) -> Iterator[tuple[str, object, object, str]]:
    """Key, value, running value and remedy of every change that cannot be made live."""
    remedy = "cannot change while the system runs: restart it"
    for key, value, now in _differences("", _plain(current, LIVE_SECTIONS), _plain(zoo, LIVE_SECTIONS)):
        yield key, value, now, remedy
    running = {model.id: model for model in current.models}
    yield from _fixed_of_workers(current, zoo)
    remedy = "cannot change while the model runs: give it another id, or restart the system"
    for i, model in enumerate(zoo.models):
        if (before := running.get(model.id)) is None:
            continue
        plain = (_plain(m, LIVE_MODEL_KEYS) for m in (before, model))
        for key, value, now in _differences(f"models[{i}].", *plain):
            yield key, value, now, remedy


def _fixed_of_workers(current: Zoo, zoo: Zoo) -> Iterator[tuple[str, object, object, str]]:
    remedy = "cannot change while the worker runs: give it another address, or restart the system"
    before = {(worker.model, worker.address): worker for worker in current.workers}
    for i, worker in enumerate(zoo.workers):
        running = before.get((worker.model, worker.address), worker)
        for key in ("device_ids", "server_urls"):
            if (now := getattr(running, key)) != (value := getattr(worker, key)):
                yield f"workers[{i}].{key}", value, now, remedy


def _plain(section: Zoo | ModelSettings, without: frozenset[str]) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude=set(without))


def _differences(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Key, new and old value of every leaf that differs."""
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(f"{prefix}{key}.", before, after)
        elif before != after:
            yield f"{prefix}{key}", after, before


class LiveZoo:
    """A service's zoo. Make it in the running event loop: from then on SIGHUP asks for a reading.

    Raises ConfigError for a wrong file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._asked = path, asyncio.Event()
        # Before the first reading, so that a change that comes right after it is not missed.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        self.zoo = load_zoo(path)

    async def follow(self, take_over: TakeOver, server: ServiceServer) -> None:
        """Waits for the next SIGHUP and takes over the zoo that the file says then; run it `forever`.

        A file that is wrong, or that asks for what takes a restart, is refused: every problem goes to the
        log, and the zoo stays as it is.
        """
        await self._asked.wait()
        self._asked.clear()
        try:
            zoo = await asyncio.to_thread(changed_zoo, self._path, self.zoo)
        except ConfigError as error:
            for problem in error.problems:
                _log.error("the zoo stays as it is: %s", problem)
            return
        await take_over(zoo)
        self.zoo = zoo
        await server.tell_zoo(zoo_name(zoo))
        _log.info("runs the changed zoo: models %s", ", ".join(zoo.model_ids))
