"""A worker's step report as plain values."""

from dataclasses import dataclass

from services.core.attribution import GenerationWork


@dataclass(frozen=True, slots=True)
class ReportedWork:
    """What one step computed for one generation, and whose it is."""

    request_id: str
    work: GenerationWork
    finished: bool
    """True in the generation's last step."""
    traceparent: str


@dataclass(frozen=True, slots=True)
class ReportedStep:
    """An interval [start, end) of monotonic nanoseconds in which the active set did not change."""

    start_nanoseconds: int
    end_nanoseconds: int
    work: tuple[ReportedWork, ...]


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker's engine did since its last report."""

    worker_id: str
    model_id: str
    boot_id: str
    monotonic_nanoseconds: int
    """No later report has a step that starts before this."""
    cpu_seconds: float
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
