"""Joules per request by the production code and by what others do, from the same readings."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.gpu_simulation import NANOSECONDS, Run, SimulatedStep
from services.core.energy_ledger import Reading
from services.core.events import EnergyAttributed
from services.core.steps import GenerationWork, StepCoefficients, StepWork
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.meters.base import Observed
from services.energy.recent import RecentEnergy
from services.energy.reports import ReportedGeneration, ReportedStep, WorkerReport

__all__ = ["OTHERS", "Attributed", "attribute", "window_energies"]

Joules = dict[str, float]
METER, MODEL, WORKER = "GPU-simulated", "model", "worker"
ROUGH_PRIOR = StepCoefficients(0.28, 1.6e-5, 0.7, 4e-5, 0.0)
"""The defaults of a zoo file, made for a small model on a CPU: wrong ratios, no fixed cost at all."""
_REPORT_SECONDS = 0.1


class RecordedMeter:
    """Hands out readings as they come; it knows nothing of its lag."""

    meter_id, kind, method, quality, detail = METER, "gpu/simulated", "simulated-counter", "MEASURED", ""
    watts_per_core: float | None = None
    observed = Observed()

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings, self._next = readings, 0
        self.now = 0

    def read(self) -> Sequence[Reading]:
        """Those up to `now`."""
        first = self._next
        while (
            self._next < len(self._readings) and self._readings[self._next].monotonic_nanoseconds <= self.now
        ):
            self._next += 1
        return self._readings[first : self._next]


@dataclass(frozen=True)
class Attributed:
    """What the energy service published, and its books."""

    figures: dict[str, EnergyAttributed]
    accounting: EnergyAccounting

    @property
    def lag_seconds(self) -> float:
        """By how much the service found the counter to be behind."""
        lag = self.accounting.calibrations()[METER]["lag"]["nanoseconds"]
        return float(lag) / NANOSECONDS

    @property
    def unbalanced_microjoules(self) -> int:
        """Attributed plus unattributed less measured: 0."""
        (status,) = self.accounting.meters()
        balance = status.balance
        unattributed = sum(balance.unattributed_microjoules.values())
        return balance.attributed_microjoules + unattributed - balance.measured_microjoules


def attribute(run: Run, readings: Sequence[Reading], idle_watts: float = 100.0) -> Attributed:
    """The production path: step reports every 0.1 s, a polled meter, nothing known but a rough prior."""
    published: list[EnergyAttributed] = []
    meter = RecordedMeter(readings)
    settings = AccountingSettings(1.0, idle_watts, {MODEL: ROUGH_PRIOR}, "boot", 10.0)
    accounting = EnergyAccounting(settings, [meter], RecentEnergy(100_000), published.append, {})
    for report in _reports(run):
        meter.now = report.monotonic_nanoseconds
        accounting.tick(meter.now)
        accounting.take_report(report, meter.now)
    meter.now += NANOSECONDS
    accounting.tick(meter.now)
    accounting.close()
    return Attributed({figure.request_id: figure for figure in published}, accounting)


def _reports(run: Run) -> Iterator[WorkerReport]:
    at, first = 0.0, 0
    while first < len(run.steps):
        at += _REPORT_SECONDS
        last = first
        while last < len(run.steps) and run.steps[last].end_seconds <= at:
            last += 1
        # The step under way belongs to a later report, which this one must not overtake.
        running = last < len(run.steps) and run.steps[last].start_seconds < at
        until = run.steps[last].start_seconds if running else at
        told = run.steps[first:last]
        steps = tuple(
            ReportedStep(_ns(step.start_seconds), _ns(step.end_seconds), StepWork.of(*step.work))
            for step in told
        )
        yield WorkerReport(WORKER, MODEL, "boot", _ns(until), 0.0, _generations(told), steps, "A", (METER,))
        first = last


def _generations(steps: Sequence[SimulatedStep]) -> tuple[ReportedGeneration, ...]:
    finished = frozenset[str]().union(*(step.finished for step in steps))
    names = dict.fromkeys(work.generation_id for step in steps for work in step.work)
    return tuple(ReportedGeneration(name, name, "", name in finished) for name in names)


def _ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


@dataclass(frozen=True)
class _Piece:
    """The energy of a window above idle, and the parts of steps inside."""

    joules: float
    parts: list[tuple[float, SimulatedStep]]


def window_energies(run: Run, readings: Sequence[Reading], lag_seconds: float) -> list[_Piece]:
    """Windows with what the other methods need; they get the lag that ours finds, and the true idle power."""
    pieces, first = [], 0
    for before, after in pairwise(readings):
        start = before.monotonic_nanoseconds / NANOSECONDS - lag_seconds
        end = after.monotonic_nanoseconds / NANOSECONDS - lag_seconds
        while first < len(run.steps) and run.steps[first].end_seconds <= start:
            first += 1
        parts, covered, i = [], 0.0, first
        while i < len(run.steps) and run.steps[i].start_seconds < end:
            step = run.steps[i]
            inside = min(end, step.end_seconds) - max(start, step.start_seconds)
            parts.append((inside / (step.end_seconds - step.start_seconds), step))
            covered, i = covered + inside, i + 1
        joules = (after.cumulative_microjoules - before.cumulative_microjoules) * 1e-6
        pieces.append(_Piece(max(0.0, joules - run.idle_watts * (end - start - covered)), parts))
    return pieces


def _shared_by(weight: Callable[[SimulatedStep, GenerationWork], float]) -> Callable[..., Joules]:
    def method(run: Run, readings: Sequence[Reading], pieces: Iterable[_Piece]) -> Joules:
        joules: Joules = defaultdict(float)
        for piece in pieces:
            weights: Joules = defaultdict(float)
            for inside, step in piece.parts:
                for work in step.work:
                    weights[work.generation_id] += inside * weight(step, work)
            total = sum(weights.values())
            for generation_id, own in weights.items() if total else ():
                joules[generation_id] += piece.joules * own / total
        return joules

    return method


def _one_window_each(run: Run, readings: Sequence[Reading], pieces: Iterable[_Piece]) -> Joules:
    """Reads the counter when a request begins and when it ends, as one does with a single stream."""
    times = [reading.monotonic_nanoseconds for reading in readings]
    joules = [reading.cumulative_microjoules * 1e-6 for reading in readings]

    def shown(seconds: float) -> float:
        return joules[max(0, int(np.searchsorted(times, _ns(seconds), side="right")) - 1)]

    return {r.request_id: shown(r.end_seconds) - shown(r.begin_seconds) for r in run.requests}


def _per_token(run: Run, readings: Sequence[Reading], pieces: Iterable[_Piece]) -> Joules:
    """One figure of J/output token for the whole run, times the tokens of each request."""
    per_token = sum(piece.joules for piece in pieces) / sum(r.decoded for r in run.requests)
    return {r.request_id: per_token * r.decoded for r in run.requests}


OTHERS: dict[str, Callable[[Run, Sequence[Reading], list[_Piece]], Joules]] = {
    "one window per request": _one_window_each,
    "equal busy time": _shared_by(lambda s, w: (s.end_seconds - s.start_seconds) / len(s.work)),
    "output-token share": _shared_by(lambda s, w: w.decode_tokens),
    "all-token share": _shared_by(lambda s, w: w.prefill_tokens + w.decode_tokens),
    "J/token x tokens": _per_token,
}
