"""A worker's step report as plain values."""

from dataclasses import dataclass
from typing import NamedTuple

from services.core.steps import StepWork


class ReportedGeneration(NamedTuple):
    """A generation that took part in a report's steps, and whose it is."""

    request_id: str
    generation_id: str
    traceparent: str
    finished: bool
    """Whether the report has its last step."""


@dataclass(frozen=True, slots=True)
class ReportedStep:
    """An interval [start, end) of monotonic nanoseconds in which the active set did not change."""

    start_nanoseconds: int
    end_nanoseconds: int
    work: StepWork


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker's engine did since its last report."""

    worker_id: str
    model_id: str
    boot_id: str
    monotonic_nanoseconds: int
    """No later report has a step that starts before this."""
    cpu_seconds: float
    generations: tuple[ReportedGeneration, ...]
    """Those of `steps`, each once."""
    steps: tuple[ReportedStep, ...]
    tier: str
    """A to D."""
    device_ids: tuple[str, ...] = ()
    warming_up: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a report's steps."""

    accepted_steps: int = 0
    late_steps: int = 0

    def __add__(self, other: "Receipt") -> "Receipt":
        """Adds count by count."""
        return Receipt(self.accepted_steps + other.accepted_steps, self.late_steps + other.late_steps)
