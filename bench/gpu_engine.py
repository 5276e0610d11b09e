"""A small engine with continuous batching that reports every step (tier A) to the real accounting."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.core.energy_ledger import Reading
from services.core.steps import GenerationWork, StepWork
from services.energy.accounting import EnergyAccounting
from services.energy.meters.base import Meter, Unavailable
from services.energy.reports import ReportedGeneration, ReportedStep, WorkerReport

MODEL, WORKER, BOOT = "transformer", "bench", "here"
_REPORT_NANOSECONDS = 100_000_000
_PROMPTS, _ANSWERS = (64, 256, 512, 128), (32, 96, 160, 64)
MAX_TOKENS = max(_PROMPTS) + max(_ANSWERS)


class Model(Protocol):
    """What runs the steps; both calls return once the device is done."""

    def prefill(self, slot: int, tokens: int) -> None:
        """Computes a prompt and draws the first token."""

    def decode(self, slots: Sequence[int]) -> None:
        """Draws a token for each of these slots."""


class RecordedMeter:
    """A meter that remembers what it showed, since the books keep no windows."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.readings: list[Reading] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._meter, name)

    def read(self) -> Sequence[Reading] | Unavailable:
        shown = self._meter.read()
        if not isinstance(shown, Unavailable):
            self.readings += shown
        return shown


@dataclass
class _Sequence:
    name: str
    context: int
    left: int


class Engine:
    """Keeps `batch` slots full for some time. The lengths of prompts and answers differ, as in real life."""

    def __init__(
        self,
        model: Model,
        accounting: EnergyAccounting,
        meter_id: str,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._model, self._accounting, self._meter_id, self._clock = model, accounting, meter_id, clock
        self.steps: list[ReportedStep] = []
        self.generations = self.output_tokens = 0
        self._untold: list[ReportedStep] = []
        self._ended: set[str] = set()
        self._told = 0

    def run(self, batch: int, seconds: float) -> None:
        """Serves for so long, then lets the running sequences end."""
        slots: list[_Sequence | None] = [None] * batch
        end = self._clock() + round(seconds * 1e9)
        while self._clock() < end or any(slots):
            for slot in range(batch):
                if slots[slot] is None and self._clock() < end:
                    slots[slot] = self._begin(slot)
            self._decode(slots)
            if self._clock() - self._told >= _REPORT_NANOSECONDS:
                self.report()
        self.report()

    def report(self) -> None:
        """Tells the steps since the last report, and lets the meter be read."""
        now = self._clock()
        steps, self._untold, self._told = tuple(self._untold), [], now
        names = dict.fromkeys(name for step in steps for name in step.work.generation_ids)
        generations = tuple(ReportedGeneration(name, name, "", name in self._ended) for name in names)
        self._ended.clear()
        self._accounting.tick(now)
        self._accounting.take_report(
            WorkerReport(WORKER, MODEL, BOOT, now, 0.0, generations, steps, "A", (self._meter_id,)), now
        )

    def _begin(self, slot: int) -> _Sequence:
        prompt = _PROMPTS[self.generations % len(_PROMPTS)]
        answer = _ANSWERS[(self.generations * 3 + slot) % len(_ANSWERS)]
        sequence = _Sequence(f"g{self.generations}", prompt + 1, answer - 1)
        self.generations += 1
        start = self._clock()
        self._model.prefill(slot, prompt)
        self._tell(start, [GenerationWork(sequence.name, prompt, 1, prompt)], ())
        return sequence

    def _decode(self, slots: list[_Sequence | None]) -> None:
        running = [(slot, sequence) for slot, sequence in enumerate(slots) if sequence]
        if not running:
            return
        start = self._clock()
        self._model.decode([slot for slot, _ in running])
        work, ended = [], []
        for slot, sequence in running:
            work.append(GenerationWork(sequence.name, 0, 1, sequence.context))
            sequence.context += 1
            sequence.left -= 1
            if sequence.left == 0:
                ended.append(sequence.name)
                slots[slot] = None
        self._tell(start, work, ended)

    def _tell(self, start: int, work: Sequence[GenerationWork], ended: Sequence[str]) -> None:
        self.output_tokens += len(work)
        self._ended.update(ended)
        step = ReportedStep(start, max(self._clock(), start + 1), StepWork.of(*work))
        self.steps.append(step)
        self._untold.append(step)
