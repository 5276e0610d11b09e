"""CPU-seconds of a worker process times configured watts: for machines without any counter."""

from collections.abc import Sequence

from services.core.energy_ledger import Reading
from services.energy.meters.base import MICROJOULES_PER_JOULE, Observed, Unavailable

PREFIX = "process-cpu"


class CpuProcessMeter:
    """The meter of one worker process, read from what that worker reports of itself.

    A container cannot see another's processes, so the CPU time travels with the worker's step reports.
    """

    kind = "cpu/process"
    method = PREFIX
    quality = "MODELLED"
    observed = Observed(lag_seconds=0.0)

    def __init__(self, worker_id: str, watts_per_core: float) -> None:
        self.meter_id = f"{PREFIX}:{worker_id}"
        self.watts_per_core: float | None = watts_per_core
        self.detail = f"CPU-seconds of the worker process x {watts_per_core:g} W per busy core"
        self._microjoules_per_cpu_second = watts_per_core * MICROJOULES_PER_JOULE
        self._reading: Reading | None = None

    def observe(self, monotonic_nanoseconds: int, cpu_seconds: float) -> None:
        """Takes what the worker reported: its clock, and its CPU time since it started (s, >= 0)."""
        microjoules = round(cpu_seconds * self._microjoules_per_cpu_second)
        self._reading = Reading(monotonic_nanoseconds, microjoules)

    def read(self) -> Sequence[Reading] | Unavailable:
        """The last report as a counter."""
        return [self._reading] if self._reading else Unavailable("the worker has not reported yet")
