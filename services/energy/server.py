"""Puts the energy service together and runs it until it is told to stop."""

import asyncio
import logging
import time
from functools import partial
from pathlib import Path

from messplus.energy.v1 import energy_service_pb2_grpc as pb_grpc

from services.common.footprint import Footprint
from services.common.keys import Keys
from services.common.live_zoo import LiveZoo, zoo_name
from services.common.redis_client import connect
from services.common.rpc import instrument
from services.common.server import ServiceServer, cancel, forever, wait_for_stop_signal
from services.common.zoo import ModelSettings, Zoo
from services.core.errors import StateUnavailableError
from services.core.events import EnergyAttributed
from services.core.steps import StepCoefficients
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.adapters.redis_calibrations import RedisCalibrations
from services.energy.adapters.redis_energy_log import RedisEnergyLog
from services.energy.balance_sheet import BalanceSheet
from services.energy.calibration_keeper import CalibrationKeeper
from services.energy.meters.machine import machine_counters
from services.energy.meters.sampled import SampledMeter
from services.energy.metrics import EnergyMetrics
from services.energy.outbox import Outbox
from services.energy.ports import CalibrationStore, EnergyLog
from services.energy.recent import RecentEnergy
from services.energy.servicer import SERVICE, EnergyServicer
from services.energy.settings import EnergyServiceSettings

GREETING_SECONDS = 3.0
"""As long as a worker may take to connect again to a service that has just started."""
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
CALIBRATION_SECONDS = 30.0
"""Time between two savings of what was learned: as much is lost when the process dies."""
_log = logging.getLogger(__name__)


class EnergyService:
    """The running parts of the energy service over any log."""

    def __init__(
        self, settings: EnergyServiceSettings, zoo: Zoo, log: EnergyLog, calibrations: CalibrationStore
    ) -> None:
        self._settings, self._log = settings, log
        self._recent = RecentEnergy(settings.energy_recent_requests)
        self._outbox = Outbox(log, settings.energy_buffer_events)
        self._stopping = asyncio.Event()
        self._counters = machine_counters(zoo.energy, str(settings.zoo_file))
        self.accounting = EnergyAccounting(
            _accounting_settings(settings, zoo),
            self._counters,
            self._recent,
            self._publish,
            self._idle_workers(zoo),
        )
        self._keeper = CalibrationKeeper(self.accounting, calibrations, CALIBRATION_SECONDS)
        self._sheet = BalanceSheet(self.accounting.meters)
        self._metrics = EnergyMetrics(self._sheet, lambda: self._outbox.dropped, Footprint.of(zoo.energy))
        address = settings.energy_listen or zoo.energy.address
        self.server = ServiceServer(address, [SERVICE], settings.drain_seconds)
        servicer = EnergyServicer(self.accounting, self._metrics, time.monotonic_ns, self._stopping)
        instrument(servicer, SERVICE)
        pb_grpc.add_EnergyServiceServicer_to_server(servicer, self.server.tolerant)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serves; the log may be away. Raises ConfigError when the address cannot be had."""
        await self.server.start()
        for meter in self._samplers():
            meter.start()
        self._tasks = [
            forever("appending energy events", self._outbox.flush),
            forever("reading meters", self._tick),
            forever("reading recent figures from the log", self._remember),
            forever("keeping calibrations", self._keeper.keep),
        ]
        await self.server.set_ready(True)

    async def stop(self) -> None:
        """Ends the streams, makes every figure final and appends what waits, for at most the drain time."""
        self._stopping.set()
        await self.server.drain()
        await cancel(self._tasks)
        await asyncio.gather(*(asyncio.to_thread(meter.stop) for meter in self._samplers()))
        self.accounting.close()
        self._sheet.take(time.monotonic_ns())
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                while len(self._outbox):
                    await self._outbox.flush()
                await self._keeper.save()
        except (StateUnavailableError, TimeoutError):
            _log.error("%d energy events are lost: the log is away", len(self._outbox))

    async def take_over(self, zoo: Zoo) -> None:
        """Accounts for the workers of another zoo from now on."""
        self.accounting.change_models(_coefficients(zoo), self._idle_workers(zoo), _conditions(zoo))

    def _samplers(self) -> list[SampledMeter]:
        return [meter for meter in self._counters if isinstance(meter, SampledMeter)]

    def _idle_workers(self, zoo: Zoo) -> dict[str, int]:
        """How many workers idle on each counter: those that name it, and those that name none."""
        named = [worker.device_ids for worker in zoo.workers]
        return {
            meter.meter_id: sum(not device_ids or meter.meter_id in device_ids for device_ids in named)
            for meter in self._counters
        }

    def _publish(self, figure: EnergyAttributed) -> None:
        self._metrics.record(figure)
        self._outbox.put(figure)

    async def _tick(self) -> None:
        now = time.monotonic_ns()
        self.accounting.tick(now)
        self._sheet.keep_fresh(now)
        await asyncio.sleep(self._settings.energy_poll_seconds)

    async def _remember(self) -> None:
        """Refills the recent figures from the log, once, so that a restart forgets nothing that is kept."""
        self._recent.refill(await self._log.tail(self._settings.energy_recent_requests))
        await asyncio.Event().wait()


async def serve(settings: EnergyServiceSettings) -> None:
    """Runs the service until SIGTERM or SIGINT. Raises ConfigError."""
    live = LiveZoo(settings.zoo_file)
    client = connect(settings.redis_url)
    keys = Keys(live.zoo.name)
    service = EnergyService(settings, live.zoo, RedisEnergyLog(client, keys), RedisCalibrations(client, keys))
    following = forever("zoo file", partial(live.follow, service.take_over, service.server))
    try:
        await service.start()
        await service.server.tell_zoo(zoo_name(live.zoo))
        await wait_for_stop_signal()
    finally:
        await cancel([following])
        await service.stop()
        await client.aclose()


def _accounting_settings(settings: EnergyServiceSettings, zoo: Zoo) -> AccountingSettings:
    return AccountingSettings(
        watts_per_core=zoo.energy.watts_per_core,
        idle_watts_per_worker=zoo.energy.metered_idle_watts_per_worker,
        coefficients=_coefficients(zoo),
        boot_id=_boot_id(),
        worker_timeout_seconds=settings.energy_worker_timeout_seconds,
        greeting_seconds=GREETING_SECONDS,
        conditions=_conditions(zoo),
    )


def _coefficients(zoo: Zoo) -> dict[str, StepCoefficients]:
    return {m.id: StepCoefficients(**m.step_energy.model_dump()) for m in zoo.models}


def _conditions(zoo: Zoo) -> dict[str, str]:
    """What step costs hold for: other weights, another engine, other threads or steps cost otherwise."""
    return {m.id: f"{m.engine}, {_weights(m)}, {m.threads} threads{_steps(m)}" for m in zoo.models}


def _steps(model: ModelSettings) -> str:
    return f", {model.prefill_chunk_tokens} tokens" if model.engine == "llamacpp" else ""


def _weights(model: ModelSettings) -> str:
    return str(model.source or (model.server and model.server.model) or model.id)


def _boot_id() -> str:
    """Id of this boot of the host; empty where the system has none, and there one clock is assumed."""
    return _BOOT_ID_FILE.read_text(encoding="ascii").strip() if _BOOT_ID_FILE.exists() else ""
