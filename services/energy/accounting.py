"""The story of a joule: read from a meter, held until the steps meanwhile are known, charged to its cause."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.common.telemetry import span
from services.core.errors import NotFoundError, OverloadedError
from services.core.events import EnergyAttributed
from services.core.steps import Step, StepCoefficients, StepWork
from services.energy.calibration_log import report_calibration
from services.energy.generations import OpenGenerations
from services.energy.metering import MeteredLedger, MeterStatus
from services.energy.meters.absent import AbsentMeter
from services.energy.meters.base import MICROJOULES_PER_JOULE, Meter
from services.energy.meters.cpu_process import CpuProcessMeter
from services.energy.recent import RecentEnergy
from services.energy.report_checks import check_clock, check_known
from services.energy.reports import Receipt, WorkerReport

MAX_WORKERS = 1024
MAX_OPEN_GENERATIONS = 10_000
MAX_OPEN_WINDOWS = 600
MAX_GONE_METERS = 64
_STILL_COMING = ""
"""Stands for all workers that have not reported yet."""
_RETRY_SECONDS = 5.0
_NANOSECONDS_PER_SECOND = 1_000_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccountingSettings:
    """How joules are obtained and charged."""

    watts_per_core: float
    """W of one busy core, for workers without a counter."""
    idle_watts_per_worker: float
    """P_idle: W that the meter shows of an idle worker."""
    coefficients: Mapping[str, StepCoefficients]
    """Step costs per model id, until they are calibrated."""
    boot_id: str
    """This host's boot; the steps of workers that share a counter must be of the same."""
    worker_timeout_seconds: float
    """A worker that reports nothing for so long is gone."""
    greeting_seconds: float = 0.0
    """How long after the start no window closes: workers may still have to find the service again."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Per model id, what its step costs hold for: its engine and files. Others are learned anew."""


@dataclass(slots=True)
class _Worker:
    model_id: str
    boot_id: str
    device_ids: tuple[str, ...]
    meters: tuple[MeteredLedger, ...]
    process: MeteredLedger | None
    seen_nanoseconds: int = 0
    reported_nanoseconds: int = 0
    cpu_seconds: float = 0.0


UNMETERED_TIER = "D"
"""A worker reports so whose model no counter and no CPU time of its own can show."""


class EnergyAccounting:
    """Charges measured energy to generations and hands over their figures once they are final.

    Args:
        settings: see there.
        counters: meters that are polled and that all workers share, unless a report names its own; where
            there are none, each worker has the meter of its process.
        recent: keeps the published figures.
        publish: takes each final figure, once.
        idle_workers: per counter, how many workers idle on it; 1 where it is not named.

    """

    def __init__(
        self,
        settings: AccountingSettings,
        counters: Sequence[Meter],
        recent: RecentEnergy,
        publish: Callable[[EnergyAttributed], None],
        idle_workers: Mapping[str, int],
    ) -> None:
        self._settings, self._recent, self._publish = settings, recent, publish
        self._generations = OpenGenerations(recent.generation_ids)
        self._workers: dict[str, _Worker] = {}
        self._began_nanoseconds: int | None = None
        self._learned: dict[str, Any] = {}
        self.learned_batches = 0
        """Rises whenever a calibration changes."""
        self._counters = {
            meter.meter_id: self._books(
                meter, settings.idle_watts_per_worker * idle_workers.get(meter.meter_id, 1)
            )
            for meter in counters
        }
        self._processes: dict[str, MeteredLedger] = {}

    def take_report(self, report: WorkerReport, now_nanoseconds: int) -> Receipt:
        """Takes a worker's steps and settles what they complete.

        Raises:
            InvalidRequestError: an unknown model or meter, another boot, the future, or a clock that went
                backwards. Nothing of the report is taken then.
            OverloadedError: too many workers.

        """
        check_known(
            report, self._settings.coefficients, self._counters, self._settings.boot_id, now_nanoseconds
        )
        worker = self._workers.get(report.worker_id)
        if worker is not None and self._was_restarted(worker, report):
            self._drop(report.worker_id, "restarted")
            worker = None
        worker = worker or self._welcome(report)
        check_clock(report, worker.reported_nanoseconds)
        late = self._take_steps(worker, report)
        self._read_meters(worker, report, now_nanoseconds)
        worker.seen_nanoseconds, worker.reported_nanoseconds = now_nanoseconds, report.monotonic_nanoseconds
        worker.cpu_seconds = report.cpu_seconds
        for meter in worker.meters:
            meter.complete_until[report.worker_id] = report.monotonic_nanoseconds
        self._settle(worker.meters)
        return Receipt(len(report.steps) - late, late)

    def tick(self, now_nanoseconds: int) -> None:
        """Reads the polled counters and lets go of workers that have fallen silent; call it regularly."""
        self._greet(now_nanoseconds)
        for counter in self._counters.values():
            counter.poll(now_nanoseconds)
        silent_since = now_nanoseconds - self._settings.worker_timeout_seconds * _NANOSECONDS_PER_SECOND
        for worker_id in [k for k, w in self._workers.items() if w.seen_nanoseconds < silent_since]:
            self._drop(worker_id, "the worker has stopped reporting")
        self._settle(self._counters.values())

    def _greet(self, now_nanoseconds: int) -> None:
        """At first every window waits for workers that may still come."""
        if self._began_nanoseconds is None:
            self._began_nanoseconds = now_nanoseconds
        waited_seconds = (now_nanoseconds - self._began_nanoseconds) / _NANOSECONDS_PER_SECOND
        for counter in self._counters.values():
            if waited_seconds < self._settings.greeting_seconds:
                counter.complete_until[_STILL_COMING] = self._began_nanoseconds
            else:
                counter.complete_until.pop(_STILL_COMING, None)

    def close(self) -> None:
        """Makes everything final with what was attributed so far."""
        for counter in self._counters.values():
            counter.complete_until.pop(_STILL_COMING, None)
        for worker_id in list(self._workers):
            self._drop(worker_id, "the service is stopping")
        self._settle(self._counters.values())

    def change_models(
        self,
        coefficients: Mapping[str, StepCoefficients],
        idle_workers: Mapping[str, int],
        conditions: Mapping[str, str],
    ) -> None:
        """Step costs from now on; those of models that are gone stay, for their workers end their answers."""
        self._settings = replace(
            self._settings,
            coefficients={**self._settings.coefficients, **coefficients},
            conditions={**self._settings.conditions, **conditions},
        )
        for meter_id, counter in self._counters.items():
            counter.set_idle_watts(self._settings.idle_watts_per_worker * idle_workers.get(meter_id, 1))

    def calibrations(self) -> dict[str, Any]:
        """What was learned, per meter, as JSON values."""
        books = [*self._counters.values(), *self._processes.values()]
        return {each.meter.meter_id: each.calibration.to_state() for each in books}

    def load_calibrations(self, states: Mapping[str, Any]) -> None:
        """Goes on from what an earlier service had learned; what cannot be read is left out and logged."""
        self._learned = dict(states)
        for books in (*self._counters.values(), *self._processes.values()):
            self._load(books)

    def of_request(self, request_id: str) -> list[EnergyAttributed]:
        """The final figures of a request's generations. Raises NotFoundError."""
        found = self._recent.of_request(request_id)
        if not found:
            hint = "unknown, not final yet, or older than is kept"
            raise NotFoundError("energy of request", request_id, hint)
        return found

    def meters(self) -> list[MeterStatus]:
        """All meters, those of the workers that are gone too."""
        return [books.status() for books in (*self._counters.values(), *self._processes.values())]

    def _books(self, meter: Meter, idle_watts: float) -> MeteredLedger:
        books = MeteredLedger.over(meter, idle_watts, self._recent.generation_ids, MAX_OPEN_WINDOWS)
        self._load(books)
        return books

    def _load(self, books: MeteredLedger) -> None:
        meter_id = books.meter.meter_id
        if (state := self._learned.pop(meter_id, None)) is None:
            return
        try:
            books.load(state, self._settings.coefficients)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("the stored calibration of meter %s is of another kind: %s", meter_id, error)

    def _was_restarted(self, worker: _Worker, report: WorkerReport) -> bool:
        """Another boot, model or device, or less CPU time than before: the old process cannot come back."""
        before = (worker.boot_id, worker.model_id, worker.device_ids)
        is_other = before != (report.boot_id, report.model_id, report.device_ids)
        return is_other or report.cpu_seconds < worker.cpu_seconds

    def _welcome(self, report: WorkerReport) -> _Worker:
        if len(self._workers) >= MAX_WORKERS:
            raise OverloadedError("the table of workers", _RETRY_SECONDS)
        counters = [self._counters[device_id] for device_id in report.device_ids or self._counters]
        process = None if counters else self._process_books(report)
        meters = tuple(counters) if process is None else (process,)
        worker = _Worker(report.model_id, report.boot_id, report.device_ids, meters, process)
        self._workers[report.worker_id] = worker
        return worker

    def _process_books(self, report: WorkerReport) -> MeteredLedger:
        meter: CpuProcessMeter | AbsentMeter
        if is_unmetered := report.tier == UNMETERED_TIER:
            meter = AbsentMeter(report.worker_id)
        else:
            meter = CpuProcessMeter(report.worker_id, self._settings.watts_per_core)
        known = self._processes.get(meter.meter_id)
        if known is not None:
            known.ledger.restart_if_behind(report.monotonic_nanoseconds)
            return known
        self._forget_gone()
        books = self._books(meter, self._settings.idle_watts_per_worker)
        self._processes[meter.meter_id] = books
        if report.warming_up and not is_unmetered:
            # The CPU time of a process starts at 0 with it, so this is what starting and loading took.
            books.ledger.book_overhead(
                round(report.cpu_seconds * self._settings.watts_per_core * MICROJOULES_PER_JOULE)
            )
        return books

    def _forget_gone(self) -> None:
        gone = [meter_id for meter_id, books in self._processes.items() if books.away]
        for meter_id in gone[: max(0, len(gone) - MAX_GONE_METERS + 1)]:
            status = self._processes.pop(meter_id).status()
            _log.info("forgot meter %s of a worker that is gone; its balance: %s", meter_id, status.balance)

    def _take_steps(self, worker: _Worker, report: WorkerReport) -> int:
        """Enters the steps in the books of every meter; returns how many were late."""
        self._prepare(worker)
        if report.warming_up:
            self._take_warm_up(worker, report)
            return 0
        late, charged = 0, []
        for reported in report.steps:
            if reported.start_nanoseconds < worker.reported_nanoseconds:
                # Out of order or told twice: an earlier report said that no such step would come.
                late += 1
                for meter in worker.meters:
                    meter.claim_late(worker.model_id, reported)
                continue
            was_late = [meter.add_step(worker.model_id, reported) for meter in worker.meters]
            late += True in was_late
            charged.append(reported)
        self._generations.see(report, charged, worker.meters)
        if excess := self._generations.abandon_excess(MAX_OPEN_GENERATIONS):
            _log.warning("%d generations are made final: too many are open", excess)
        return late

    def _prepare(self, worker: _Worker) -> None:
        prior, conditions = self._settings.coefficients[worker.model_id], self._settings.conditions
        for meter in worker.meters:
            if meter.prepare(worker.model_id, prior, conditions.get(worker.model_id, "")):
                _log.warning(
                    "step costs of model %s on meter %s are learned anew: its engine or power limit changed",
                    worker.model_id,
                    meter.meter.meter_id,
                )

    def _take_warm_up(self, worker: _Worker, report: WorkerReport) -> None:
        """All of the time since the last report served nobody."""
        coefficients = self._settings.coefficients[worker.model_id]
        if 0 < worker.reported_nanoseconds < report.monotonic_nanoseconds:
            step = Step(
                worker.reported_nanoseconds, report.monotonic_nanoseconds, StepWork.of(), coefficients
            )
            for meter in worker.meters:
                meter.ledger.add_step(step)

    def _read_meters(self, worker: _Worker, report: WorkerReport, now_nanoseconds: int) -> None:
        """Reads what the worker's meters have by now, so that its report closes every window that it can."""
        if worker.process is None:
            for counter in worker.meters:
                counter.poll(now_nanoseconds)
            return
        meter = worker.process.meter
        if isinstance(meter, CpuProcessMeter):
            meter.observe(report.monotonic_nanoseconds, report.cpu_seconds)
        worker.process.poll(report.monotonic_nanoseconds)

    def _drop(self, worker_id: str, reason: str) -> None:
        worker = self._workers.pop(worker_id)
        for meter in worker.meters:
            meter.complete_until.pop(worker_id, None)
        self._generations.abandon(worker_id)
        self._settle(worker.meters)
        if worker.process is not None:
            worker.process.away = reason

    def _settle(self, meters: Iterable[MeteredLedger]) -> None:
        for meter in meters:
            for attribution in meter.settle():
                self._generations.charge(meter, attribution)
            if meter.learn():
                self.learned_batches += 1
                report_calibration(meter)
        for figure in self._generations.pop_settled():
            self._recent.add([figure])
            attributes = {"gen_ai.request.model": figure.model_id, "messplus.energy.method": figure.method}
            with span("attribute energy", attributes=attributes, traceparent=figure.traceparent):
                self._publish(figure)
