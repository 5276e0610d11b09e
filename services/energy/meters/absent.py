"""Stands where no counter is: the model runs in a server that nothing here meters."""

from collections.abc import Sequence

from services.core.energy_ledger import Reading
from services.energy.meters.base import ESTIMATE, Observed, Unavailable

_WHY = (
    "the model runs in a server that no meter here reads: joules are estimated from step_energy of the zoo "
    "file; run the energy service beside the server, with meter nvml or rapl"
)


class AbsentMeter:
    """The meter of a worker whose CPU time says nothing about its model; never readable."""

    kind = "none"
    method = ESTIMATE
    quality = "MODELLED"
    observed = Observed(lag_seconds=0.0)
    watts_per_core: float | None = None
    detail = _WHY

    def __init__(self, worker_id: str) -> None:
        self.meter_id = f"none:{worker_id}"

    def read(self) -> Sequence[Reading] | Unavailable:
        """Nothing, and why."""
        return Unavailable(_WHY)
