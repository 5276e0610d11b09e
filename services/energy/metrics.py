"""What the energy service measures of itself. Never a request id on a metric."""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from services.common.telemetry import meter
from services.core.events import EnergyAttributed
from services.energy.metering import MeterStatus
from services.energy.meters.base import MICROJOULES_PER_JOULE
from services.energy.power import PowerGauge

_STATES = ("ok", "degraded", "failed")
_BUCKETS_JOULES = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5]


class EnergyMetrics:
    """Instruments over the meters' balances: attributed plus unattributed equals hw.energy.

    `messplus.energy.unattributed` can go down per reason, never in sum: a late step moves joules from
    "unknown" to "late".
    """

    def __init__(
        self, meters: Callable[[], list[MeterStatus]], dropped: Callable[[], int], clock: Callable[[], int]
    ) -> None:
        self._meters, self._dropped, self._clock = meters, dropped, clock
        self._power = PowerGauge()
        instruments = meter()
        self._request_energy = instruments.create_histogram(
            "messplus.request.energy",
            unit="J",
            description="Energy of one generation.",
            explicit_bucket_boundaries_advisory=_BUCKETS_JOULES,
        )
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
        instruments.create_observable_counter(
            "messplus.energy.dropped_events", [self._lost], "{event}", "Figures the log never got."
        )

    def record(self, figure: EnergyAttributed) -> None:
        """Counts one final figure."""
        attributes = {"gen_ai.request.model": figure.model_id, "messplus.energy.method": figure.method}
        self._request_energy.record(figure.energy_joules, attributes)

    def _energy(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._meters():
            yield _observation(status.balance.measured_microjoules, status)

    def _watts(self, _: CallbackOptions) -> Iterable[Observation]:
        now = self._clock()
        for status in self._meters():
            watts = self._power.watts(status.meter_id, now, status.read_microjoules)
            yield Observation(watts, _attributes(status))

    def _attributed(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._meters():
            yield _observation(status.balance.attributed_microjoules, status)

    def _unattributed(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._meters():
            for reason, microjoules in status.balance.unattributed_microjoules.items():
                yield Observation(
                    microjoules / MICROJOULES_PER_JOULE, {**_attributes(status), "reason": reason.value}
                )

    def _states(self, _: CallbackOptions) -> Iterable[Observation]:
        """The alarm: a meter that is away has failed, a suspect one is degraded."""
        for status in self._meters():
            now = "ok" if status.available else "failed"
            now = "degraded" if status.available and status.observed.suspect else now
            for state in _STATES:
                yield Observation(int(state == now), {**_attributes(status), "hw.state": state})

    def _errors(self, _: CallbackOptions) -> Iterable[Observation]:
        for status in self._meters():
            for reason, windows in status.observed.unknown_windows.items():
                yield Observation(windows, {**_attributes(status), "error.type": reason})

    def _lost(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._dropped())


def _observation(microjoules: int, status: MeterStatus) -> Observation:
    return Observation(microjoules / MICROJOULES_PER_JOULE, _attributes(status))


def _attributes(status: MeterStatus) -> dict[str, str]:
    return {"hw.id": status.meter_id, "hw.type": status.kind.partition("/")[0]}
