"""Gauges that operators look at: SLA classes of a router, load of a worker."""

from collections.abc import Sequence
from typing import Any

import opentelemetry.metrics
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.core.learner_state import ClassStatistics
from services.core.ledger import Ledger
from services.router.ports import ClassState
from services.router.sla_gauges import show_classes
from services.router.views import ClassStatus
from services.worker.instruments import Instruments
from services.worker.ports import Load


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr(opentelemetry.metrics, "get_meter", provider.get_meter)
    return reader


def shown(reader: InMemoryMetricReader) -> dict[tuple[str, str], float]:
    """Value by name and only attribute."""
    data: Any = reader.get_metrics_data()
    scopes: Sequence[Any] = [scope for group in data.resource_metrics for scope in group.scope_metrics]
    return {
        (metric.name, *point.attributes.values()): point.value
        for scope in scopes
        for metric in scope.metrics
        for point in metric.data.data_points
    }


def test_a_class_shows_its_target_its_mean_and_what_it_owes(reader: InMemoryMetricReader) -> None:
    statistics = ClassStatistics([4], labelled=4, satisfaction_sum=3.0, ledger=Ledger(label_credit=0.5))
    classes = [
        ClassStatus("gold", 0.9, ClassState(7, 2.0), statistics),
        ClassStatus("new", 0.5, ClassState(0, 0.0), None),
    ]
    show_classes(lambda: classes)
    assert shown(reader) == {
        ("messplus.sla.target", "gold"): 0.9,
        ("messplus.sla.target", "new"): 0.5,
        ("messplus.sla.satisfaction", "gold"): 0.75,
        ("messplus.sla.debt", "gold"): 1.5,
    }


def test_a_worker_shows_what_runs_and_waits(reader: InMemoryMetricReader) -> None:
    load = Load(2, 5, 4)
    Instruments().show_load(lambda: load, {"gen_ai.request.model": "small"})
    assert shown(reader) == {("messplus.worker.running", "small"): 2, ("messplus.worker.waiting", "small"): 5}
