"""What the energy service exports: balances that add up in every export, and the configured multipliers."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from energy_reports import of, told, worker_report
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.common.footprint import Footprint
from services.core.errors import FieldViolation, InvalidRequestError
from services.core.events import EnergyAttributed
from services.core.steps import GenerationWork, StepCoefficients
from services.energy import metrics
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.balance_sheet import REFRESH_SECONDS, BalanceSheet
from services.energy.recent import RecentEnergy
from services.energy.reports import Receipt

SECOND = 1_000_000_000
BALANCES = ("hw.energy", "messplus.energy.attributed", "messplus.energy.unattributed")


class Service:
    """The use case with its metrics and a reader of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, footprint: Footprint) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader])
        monkeypatch.setattr(metrics, "meter", lambda: self.provider.get_meter("test"))
        costs = StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)
        settings = AccountingSettings(13.7, 0.25, {"small": costs}, "boot", 10.0)
        self.accounting = EnergyAccounting(settings, [], RecentEnergy(100), lambda _: None, {})
        self.sheet = BalanceSheet(self.accounting.meters)
        self.metrics = metrics.EnergyMetrics(self.sheet, lambda: 0, footprint)
        self.second = 0

    def work(self) -> None:
        """A crooked second of work of two workers, a gap before it; every third report comes twice."""
        self.second += 2
        now = self.second * SECOND
        for number, worker in enumerate(("v", "w")):
            work = of(GenerationWork(f"{worker}{self.second}", 3, 1, 7), "r", True)
            cpu_seconds = self.second * 0.3712345 + number * 0.1
            steps = (told(self.second - 1, self.second, work),)
            report = worker_report(worker, self.second, cpu_seconds, steps)
            self.accounting.take_report(report, now)
            if self.second % 3 == 0:
                self.accounting.take_report(report, now)

    def points(self) -> Iterator[tuple[str, dict[str, Any], Any]]:
        """Name, attributes and value of everything exported now."""
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        yield metric.name, dict(point.attributes or {}), getattr(point, "value", point)

    def microjoules(self) -> dict[str, dict[str, int]]:
        """Meter -> the three series of the invariant -> whole microjoules."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for name, attributes, value in self.points():
            if name in BALANCES:
                found[attributes["hw.id"]][name] += round(value * 1e6)
        return found


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    services: list[Service] = []

    def start(footprint: Footprint = Footprint()) -> Service:  # noqa: B008
        services.append(Service(monkeypatch, footprint))
        return services[-1]

    yield start
    for service in services:
        service.provider.shutdown()


def test_attributed_plus_unattributed_is_measured_in_every_export(start: Any) -> None:
    service = start()
    for _ in range(20):
        service.work()
        service.sheet.take(service.second * SECOND)
        exported = service.microjoules()
        assert set(exported) == {"process-cpu:v", "process-cpu:w"}
        for meter in exported.values():
            energy, attributed, unattributed = (meter[name] for name in BALANCES)
            assert attributed + unattributed == energy
    assert attributed > 0
    assert unattributed > 0


def test_an_export_adds_up_though_work_goes_on_between_its_instruments(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    service.work()
    service.work()
    service.sheet.take(0)
    look = service.sheet.look

    def look_while_working(asker: str) -> Any:
        seen = look(asker)
        service.work()
        service.sheet.take(service.second * SECOND)
        return seen

    monkeypatch.setattr(service.sheet, "look", look_while_working)
    energies = []
    for _ in range(3):
        (energy, attributed, unattributed), *_ = (
            [meter[name] for name in BALANCES] for meter in service.microjoules().values()
        )
        assert attributed + unattributed == energy
        energies.append(energy)
    assert 0 < energies[0] < energies[1] < energies[2]


def test_a_look_is_taken_anew_only_when_it_is_no_longer_fresh(start: Any) -> None:
    service = start()
    service.sheet.take(0)
    service.work()
    service.sheet.keep_fresh(round(0.9 * REFRESH_SECONDS * SECOND))
    assert service.sheet.look("a").statuses == []
    service.sheet.keep_fresh(round(1.1 * REFRESH_SECONDS * SECOND))
    assert len(service.sheet.look("a").statuses) == 2


def test_multipliers_are_series_of_their_own_and_name_their_factors(start: Any) -> None:
    service = start(Footprint(1.5, 360.0))
    service.work()
    service.work()
    service.sheet.take(0)
    points = {(name, a.get("hw.id")): (a, value) for name, a, value in service.points()}
    _, joules = points["hw.energy", "process-cpu:v"]
    attributes, facility = points["messplus.facility.energy", "process-cpu:v"]
    assert (facility, attributes["messplus.pue"]) == (pytest.approx(1.5 * joules), 1.5)
    attributes, grams = points["messplus.carbon.emissions", "process-cpu:v"]
    assert grams == pytest.approx(1.5 * joules / 3.6e6 * 360)
    assert (attributes["messplus.pue"], attributes["messplus.carbon.grams_per_kwh"]) == (1.5, 360.0)
    assert joules > 0


def test_without_multipliers_nothing_of_them_is_exported(start: Any) -> None:
    service = start()
    service.work()
    service.sheet.take(0)
    names = {name for name, _, _ in service.points()}
    assert {"hw.energy", "hw.power"} <= names
    assert not [name for name in names if "facility" in name or "carbon" in name]


def test_refused_reports_late_steps_and_joules_of_figures_are_counted(start: Any) -> None:
    service = start()
    for field in ("steps[0].end_nanoseconds", "steps[12].end_nanoseconds", "model_id"):
        service.metrics.refused(InvalidRequestError([FieldViolation(field, "is wrong")]))
    for receipt in (Receipt(3, 2), Receipt(1, 0), Receipt(0, 1)):
        service.metrics.took(receipt)
    figure = EnergyAttributed("r", "g", "small", 12.0, method="nvml")
    service.metrics.record(figure)
    service.metrics.record(replace(figure, request_id="other", energy_joules=30.0))
    points = {(name, a.get("error.type")): (a, value) for name, a, value in service.points()}
    assert points["messplus.energy.refused_reports", "steps.end_nanoseconds"][1] == 2
    assert points["messplus.energy.refused_reports", "model_id"][1] == 1
    assert points["messplus.energy.late_steps", None][1] == 3
    attributes, histogram = points["messplus.request.energy", None]
    assert (histogram.count, histogram.sum) == (2, 42.0)
    assert attributes == {"gen_ai.request.model": "small", "messplus.energy.method": "nvml"}
