"""A meter together with its books and the workers that cause its energy."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from services.core.attribution import Attribution, UnattributedReason
from services.core.calibration import MIN_WINDOWS
from services.core.energy_ledger import Balance, EnergyLedger, Reading
from services.core.meter_calibration import MeterCalibration
from services.core.steps import Step, StepCoefficients
from services.core.update_clock import UpdateClock
from services.energy.meters.base import Meter, Observed, Unavailable
from services.energy.reports import ReportedStep

MODELLED_MIN_WINDOWS = 32
"""A model of energy has no noise, and its windows may last as long as whole steps."""


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
    calibration: MeterCalibration
    clock: UpdateClock = field(default_factory=UpdateClock)
    away: str = ""
    """Why the meter cannot be read; "" while it can."""
    complete_until: dict[str, int] = field(default_factory=dict)
    """Per worker: no step of it that starts before this is still to come, ns."""

    @classmethod
    def over(
        cls, meter: Meter, idle_watts: float, final: AbstractSet[str], max_open_windows: int
    ) -> "MeteredLedger":
        """A meter with empty books."""
        ledger = EnergyLedger(idle_watts, final, max_open_windows)
        least_windows = MIN_WINDOWS if meter.quality == "MEASURED" else MODELLED_MIN_WINDOWS
        return cls(meter, ledger, MeterCalibration(idle_watts, least_windows))

    def set_idle_watts(self, configured_watts: float) -> None:
        """Changes the idle power that counts until it was seen, W."""
        self.calibration.idle.configured_watts = configured_watts
        self.ledger.idle_watts = self.calibration.idle.watts

    def load(self, state: Mapping[str, Any], priors: Mapping[str, StepCoefficients]) -> None:
        """Goes on from what was learned before; ValueError, KeyError or TypeError as `MeterCalibration`."""
        self.calibration.load(state, priors)
        self.ledger.idle_watts = self.calibration.idle.watts

    def prepare(self, model_id: str, prior: StepCoefficients, conditions: str) -> bool:
        """Says what a model's step costs are taken for and hold for; returns whether they begin anew."""
        limit_watts = self.meter.observed.power_limit_watts
        limited = conditions if limit_watts is None else f"{conditions}, at most {limit_watts:g} W"
        return self.calibration.prepare(model_id, prior, limited)

    def add_step(self, model_id: str, reported: ReportedStep) -> bool:
        """Enters a step of a prepared model; returns whether it was late."""
        step = self._step(model_id, reported)
        self.calibration.add_step(model_id, step)
        return self.ledger.add_step(step)

    def claim_late(self, model_id: str, reported: ReportedStep) -> None:
        """A step of a prepared model that must not be charged; see the ledger."""
        self.ledger.claim_late(self._step(model_id, reported))

    def _step(self, model_id: str, reported: ReportedStep) -> Step:
        coefficients = self.calibration.models[model_id].coefficients
        return Step(reported.start_nanoseconds, reported.end_nanoseconds, reported.work, coefficients)

    def poll(self, monotonic_nanoseconds: int) -> None:
        """Takes what the meter has; the time is that of the attempt and counts only if it fails."""
        readings = self.meter.read()
        if isinstance(readings, Unavailable):
            self.away = readings.reason
            self.ledger.lose(monotonic_nanoseconds)
            return
        self.away = ""
        lag = self.calibration.lag.nanoseconds
        for reading in readings:
            at = reading.monotonic_nanoseconds
            if self.meter.quality == "MEASURED":
                # A modelled figure says itself when it was true; a device only shows that it has changed.
                at = self.clock.refine(at)
            self.ledger.read(Reading(at - lag, reading.cumulative_microjoules, reading.follows_gap))

    def settle(self) -> list[Attribution]:
        """Closes what no worker can add to any more."""
        attributions = self.ledger.settle(self._complete_until())
        for attribution in attributions:
            # An estimate teaches nothing, nor does loading and warming up, which do what no step tells.
            if not attribution.is_estimated:
                for window, reasons in zip(attribution.windows, attribution.reasons, strict=True):
                    if UnattributedReason.OVERHEAD not in reasons:
                        self.calibration.add_window(window)
        return attributions

    def learn(self) -> bool:
        """Learns from the windows that were settled, batch by batch; returns whether there was a batch."""
        learned = self.calibration.learn(self._complete_until(), self.meter.observed.lag_seconds is not None)
        if learned:
            self.ledger.idle_watts = self.calibration.idle.watts
        return learned

    def _complete_until(self) -> float:
        return min(self.complete_until.values(), default=float("inf"))

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
