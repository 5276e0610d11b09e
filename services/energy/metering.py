"""A meter together with its books and the workers that cause its energy."""

from collections.abc import Container
from dataclasses import dataclass, field

from services.core.attribution import WindowAttribution
from services.core.energy_ledger import Balance, EnergyLedger
from services.energy.meters.base import Meter, Observed, Unavailable


@dataclass(frozen=True, slots=True)
class MeterStatus:
    """A meter and its balance, for people and metrics."""

    meter_id: str
    kind: str
    method: str
    quality: str
    available: bool
    detail: str
    watts_per_core: float | None
    read_microjoules: int
    """All that was read; `balance` covers the part whose windows have closed."""
    balance: Balance
    observed: Observed


@dataclass(slots=True)
class MeteredLedger:
    """One meter: reads it into its ledger and settles up to what all its workers have reported."""

    meter: Meter
    ledger: EnergyLedger
    away: str = ""
    """Why the meter cannot be read; "" while it can."""
    complete_until: dict[str, int] = field(default_factory=dict)
    """Per worker: no step of it that starts before this is still to come, ns."""

    @classmethod
    def over(
        cls, meter: Meter, idle_watts: float, final: Container[str], max_open_windows: int
    ) -> "MeteredLedger":
        """A meter with empty books."""
        return cls(meter, EnergyLedger(idle_watts, final, max_open_windows))

    def poll(self, monotonic_nanoseconds: int) -> None:
        """Takes what the meter has; the time is that of the attempt and counts only if it fails."""
        readings = self.meter.read()
        if isinstance(readings, Unavailable):
            self.away = readings.reason
            self.ledger.lose(monotonic_nanoseconds)
            return
        self.away = ""
        for reading in readings:
            self.ledger.read(reading)

    def settle(self) -> list[WindowAttribution]:
        """Closes what no worker can add to any more."""
        return self.ledger.settle(min(self.complete_until.values(), default=float("inf")))

    def status(self) -> MeterStatus:
        """How the meter stands."""
        meter, ledger = self.meter, self.ledger
        return MeterStatus(
            meter.meter_id,
            meter.kind,
            meter.method,
            meter.quality,
            not self.away,
            self.away or meter.detail,
            meter.watts_per_core,
            ledger.read_microjoules,
            ledger.balance,
            meter.observed,
        )
