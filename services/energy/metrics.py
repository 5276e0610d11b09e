"""What the energy service measures of itself. Never a request id on a metric."""

import re
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.common.footprint import Footprint
from services.common.telemetry import meter
from services.core.errors import InvalidRequestError
from services.core.events import EnergyAttributed
from services.energy.balance_sheet import BalanceSheet
from services.energy.metering import MeterStatus
from services.energy.meters.base import MICROJOULES_PER_JOULE
from services.energy.power import PowerGauge
from services.energy.reports import Receipt

_STATES = ("ok", "degraded", "failed")
_BUCKETS_JOULES = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5]
_INDEX = re.compile(r"\[\d+\]")


class EnergyMetrics:
    """Instruments over the meters' balances: in each export, attributed plus unattributed equals hw.energy.

    `messplus.energy.unattributed` can go down per reason, never in sum: a late step moves joules from
    "unknown" to "late". What `footprint` multiplies is exported beside them, under names of its own.
    """

    def __init__(self, sheet: BalanceSheet, dropped: Callable[[], int], footprint: Footprint) -> None:
        self._sheet, self._dropped, self._footprint = sheet, dropped, footprint
        self._gauge = PowerGauge()
        instruments = meter()
        self._request_energy = instruments.create_histogram(
            "messplus.request.energy",
            unit="J",
            description="Energy of one generation.",
            explicit_bucket_boundaries_advisory=_BUCKETS_JOULES,
        )
        self._refused = instruments.create_counter(
            "messplus.energy.refused_reports", "{report}", "Step reports that were refused, by field."
        )
        self._late = instruments.create_counter(
            "messplus.energy.late_steps", "{step}", "Steps that came late, out of order or again."
        )
        self._show_meters(instruments)
        self._show_footprint(instruments)
        instruments.create_observable_counter(
            "messplus.energy.dropped_events", [self._lost], "{event}", "Figures the log never got."
        )

    def _show_meters(self, instruments: Meter) -> None:
        instruments.create_observable_counter("hw.energy", [self._energy], "J", "Energy read.")
        instruments.create_observable_gauge(
            "hw.power", [self._watts], "W", "Mean power since the last export."
        )
        instruments.create_observable_counter(
            "messplus.energy.attributed", [self._attributed], "J", "Energy charged to generations."
        )
        instruments.create_observable_up_down_counter(
            "messplus.energy.unattributed", [self._unattributed], "J", "Energy of no generation, by reason."
        )
        instruments.create_observable_up_down_counter(
            "hw.status", [self._states], "1", "1 for the state a meter is in: ok, degraded or failed."
        )
        instruments.create_observable_counter(
            "hw.errors", [self._errors], "{error}", "Windows whose energy is unknown, by reason."
        )

    def _show_footprint(self, instruments: Meter) -> None:
        if self._footprint.pue is not None:
            instruments.create_observable_counter(
                "messplus.facility.energy", [self._facility], "J", "Energy read times the configured PUE."
            )
        if self._footprint.carbon_grams_per_kwh is not None:
            instruments.create_observable_counter(
                "messplus.carbon.emissions", [self._carbon], "g", "gCO2e at the configured intensity."
            )

    def record(self, figure: EnergyAttributed) -> None:
        """Counts one final figure."""
        attributes = {"gen_ai.request.model": figure.model_id, "messplus.energy.method": figure.method}
        self._request_energy.record(figure.energy_joules, attributes)

    def took(self, receipt: Receipt) -> None:
        """Counts the late steps of a report."""
        if receipt.late_steps:
            self._late.add(receipt.late_steps)

    def refused(self, error: InvalidRequestError) -> None:
        """Counts a report that was refused, under the first field that was wrong."""
        self._refused.add(1, {"error.type": _INDEX.sub("", error.violations[0].field)})

    def _energy(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._sheet.look("energy").statuses:
            yield _observation(status.balance.measured_microjoules, status)

    def _watts(self, _: CallbackOptions) -> Iterable[Observation]:
        look = self._sheet.look("power")
        for status in look.statuses:
            watts = self._gauge.watts(status.meter_id, look.monotonic_nanoseconds, status.read_microjoules)
            yield Observation(watts, _attributes(status))

    def _attributed(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._sheet.look("attributed").statuses:
            yield _observation(status.balance.attributed_microjoules, status)

    def _unattributed(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._sheet.look("unattributed").statuses:
            for reason, microjoules in status.balance.unattributed_microjoules.items():
                yield Observation(
                    microjoules / MICROJOULES_PER_JOULE, {**_attributes(status), "reason": reason.value}
                )

    def _states(self, _: CallbackOptions) -> Iterable[Observation]:
        """The alarm: a meter that is away has failed, a suspect one is degraded."""
        for status in self._sheet.look("states").statuses:
            now = "ok" if status.available else "failed"
            now = "degraded" if status.available and status.observed.suspect else now
            for state in _STATES:
                yield Observation(int(state == now), {**_attributes(status), "hw.state": state})

    def _errors(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._sheet.look("errors").statuses:
            for reason, windows in status.observed.unknown_windows.items():
                yield Observation(windows, {**_attributes(status), "error.type": reason})

    def _facility(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._sheet.look("facility").statuses:
            joules = self._footprint.facility_joules(_measured_joules(status))
            if joules is not None:
                yield Observation(joules, {**_attributes(status), **self._factors()})

    def _carbon(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._sheet.look("carbon").statuses:
            grams = self._footprint.carbon_grams(_measured_joules(status))
            if grams is not None:
                intensity = {"messplus.carbon.grams_per_kwh": self._footprint.carbon_grams_per_kwh or 0.0}
                yield Observation(grams, {**_attributes(status), **self._factors(), **intensity})

    def _factors(self) -> dict[str, float]:
        """The PUE that a multiplied figure contains, so that nobody takes it for measured."""
        return {} if self._footprint.pue is None else {"messplus.pue": self._footprint.pue}

    def _lost(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._dropped())


def _measured_joules(status: MeterStatus) -> float:
    return status.balance.measured_microjoules / MICROJOULES_PER_JOULE


def _observation(microjoules: int, status: MeterStatus) -> Observation:
    return Observation(microjoules / MICROJOULES_PER_JOULE, _attributes(status))


def _attributes(status: MeterStatus) -> dict[str, str]:
    return {"hw.id": status.meter_id, "hw.type": status.kind.partition("/")[0]}
