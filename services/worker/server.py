"""Composes a worker: engine, queue, reports, RPCs; loads the model; serves; drains."""

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from messplus.worker.v1 import worker_service_pb2_grpc

from services.common import redis_client
from services.common.keys import Keys
from services.common.live_zoo import LiveZoo, zoo_name
from services.common.rpc import instrument
from services.common.server import ServiceServer, cancel, forever, wait_for_stop_signal
from services.common.zoo import ModelSettings, WorkerSettings, Zoo
from services.core.errors import (
    ConfigError,
    ConfigProblem,
    MessPlusError,
    StateUnavailableError,
)
from services.worker.adapters.grpc_step_sink import GOODBYE_SECONDS, GrpcStepSink
from services.worker.adapters.redis_load_board import RedisLoadBoard
from services.worker.engines import make_engine
from services.worker.generations import Generations, WorkerState
from services.worker.ports import Engine, LoadBoard
from services.worker.reporting import LoadReporter, StepReporter
from services.worker.servicer import SERVICE, WorkerServicer
from services.worker.settings import WorkerProcessSettings
from services.worker.steps import StepRecorder, StepTier

EXIT_MODEL = 3
AVAILABILITY_SECONDS = 0.25
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


async def serve(settings: WorkerProcessSettings) -> None:
    """Serves until a stop signal. Ends the process with status 3 where the model cannot be had."""
    live = LiveZoo(settings.zoo_file)
    zoo = live.zoo
    model, address = _placement(zoo, settings)
    here = _worker_here(zoo, model.id, address)
    engine = make_engine(model, here.server_urls if here else ())
    recorder = StepRecorder(time.monotonic_ns, time.process_time)
    generations = Generations(engine, recorder, model.id, model.max_queue_size)
    server = _server(settings, model, address, engine, generations)
    sink = _sink(settings, zoo, model, engine, here)
    steps = StepReporter(recorder, sink)
    redis = redis_client.connect(settings.redis_url)
    board = RedisLoadBoard(redis, Keys(zoo.name).load(settings.instance_id), model.id, address)
    stop = asyncio.create_task(wait_for_stop_signal())
    await server.start()
    reporting = asyncio.create_task(steps.run())
    load = asyncio.create_task(LoadReporter(board, lambda: generations.load).run())
    await server.tell_zoo(zoo_name(zoo))
    following = forever("zoo file", partial(live.follow, partial(_heed, model.id), server))
    try:
        if await _loaded(engine, stop):
            steps.warmed_up()
            generations.state = WorkerState.SERVING
            await server.set_ready(True)
            _log.info("serving %s on %s", model.id, address)
            await _serve_while_available(engine, server, stop)
    finally:
        generations.state = WorkerState.DRAINING
        await server.drain()
        await generations.drained()
        steps.stop()
        await asyncio.wait({reporting}, timeout=GOODBYE_SECONDS)
        await cancel([reporting, load, following, stop])
        await _withdraw(board)
        await redis.aclose()
        await engine.close()


async def _serve_while_available(engine: Engine, server: ServiceServer, stop: "asyncio.Task[None]") -> None:
    """Until told to stop; not ready, so that routers go elsewhere, while no server behind it answers."""
    shown = True
    while not stop.done():
        if engine.available is not shown:
            shown = engine.available
            await server.set_ready(shown)
            _log.warning("the engine %s", "is back" if shown else "is away: no server answers")
        await asyncio.wait({stop}, timeout=AVAILABILITY_SECONDS)


async def _heed(model_id: str, zoo: Zoo) -> None:
    """Nothing that a worker uses of a zoo may change while it runs; it may only be left out."""
    if model_id not in zoo.model_ids:
        _log.info("the zoo no longer has %s: it is served until this worker is stopped", model_id)


async def _loaded(engine: Engine, stop: "asyncio.Task[None]") -> bool:
    """Loads the engine; False where the process was told to stop first."""
    loading = asyncio.create_task(engine.load())
    await asyncio.wait({loading, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        await cancel([loading])
        return False
    try:
        await loading
    except ConfigError:
        raise
    except MessPlusError as error:
        _log.error("the model cannot be served: %s", error)
        raise SystemExit(EXIT_MODEL) from None
    return True


async def _withdraw(board: LoadBoard) -> None:
    with suppress(StateUnavailableError):  # the key expires by itself
        await board.withdraw()


def _server(
    settings: WorkerProcessSettings,
    model: ModelSettings,
    address: str,
    engine: Engine,
    generations: Generations,
) -> ServiceServer:
    server = ServiceServer(address, [SERVICE], settings.drain_seconds)
    servicer = WorkerServicer(generations, engine.info, model.id, settings.instance_id, model.max_queue_size)
    instrument(servicer, SERVICE)
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server.tolerant)
    return server


def _placement(zoo: Zoo, settings: WorkerProcessSettings) -> tuple[ModelSettings, str]:
    """The model to serve and where to listen. Raises ConfigError."""
    if settings.model not in zoo.model_ids:
        allowed = f"must be one of {', '.join(zoo.model_ids)}"
        raise ConfigError([ConfigProblem("environment", "MESSPLUS_MODEL", repr(settings.model), allowed)])
    addresses = (worker.address for worker in zoo.workers if worker.model == settings.model)
    if not (address := settings.address or next(addresses, "")):
        allowed = f"must be given: no worker of {settings.zoo_file} serves {settings.model}"
        raise ConfigError([ConfigProblem("environment", "MESSPLUS_ADDRESS", "(missing)", allowed)])
    return zoo.model(settings.model), address


def _sink(
    settings: WorkerProcessSettings,
    zoo: Zoo,
    model: ModelSettings,
    engine: Engine,
    here: WorkerSettings | None,
) -> GrpcStepSink:
    return GrpcStepSink(
        zoo.energy.address,
        settings.instance_id,
        model.id,
        _boot_id(),
        lambda: _tier(zoo, model, engine),
        here.device_ids if here else (),
    )


def _tier(zoo: Zoo, model: ModelSettings, engine: Engine) -> StepTier:
    """How finely it reports; none where the work is a server's and the meter is this process's CPU time."""
    return StepTier.NONE if model.server and zoo.energy.meter == "cpu-process" else engine.step_tier


def _worker_here(zoo: Zoo, model_id: str, address: str) -> WorkerSettings | None:
    """The zoo's worker that listens here, or the model's only one; None where that is not clear."""
    of_model = [worker for worker in zoo.workers if worker.model == model_id]
    here = [worker for worker in of_model if worker.address == address] or of_model
    return here[0] if len(here) == 1 else None


def _boot_id() -> str:
    """Id of this boot of the host; empty where the system has none, and there one clock is assumed."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
