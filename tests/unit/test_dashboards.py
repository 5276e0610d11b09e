"""Every metric that the dashboard and the alert rules name is one that a service emits."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import opentelemetry.metrics
import pytest
import yaml
from opentelemetry.metrics import NoOpMeter

from services.common.footprint import Footprint
from services.energy.balance_sheet import BalanceSheet
from services.energy.metrics import EnergyMetrics
from services.feedback.instruments import Instruments as FeedbackInstruments
from services.router.instruments import Instruments as RouterInstruments
from services.router.sla_gauges import show_classes
from services.worker.instruments import Instruments as WorkerInstruments
from services.worker.ports import Load

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = {"J": "joules", "s": "seconds", "W": "watts", "g": "grams"}
NAME = re.compile(r"\b(?:messplus|hw|gen_ai)_[a-z_]+\b")


class Recorder(NoOpMeter):
    """A meter that notes the Prometheus names of its instruments, as the collector translates them."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.names: set[str] = set()

    def _note(self, name: str, unit: str, kind: str) -> None:
        parts = [name.replace(".", "_"), UNITS.get(unit, "")]
        parts.append({"counter": "total", "gauge": "ratio" if unit == "1" else ""}.get(kind, ""))
        base = "_".join(part for part in parts if part)
        self.names |= (
            {f"{base}_{end}" for end in ("bucket", "sum", "count")} if kind == "histogram" else {base}
        )

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Any:
        self._note(name, unit, "counter")
        return super().create_counter(name, unit, description)

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Any:
        self._note(name, unit, "gauge")
        return super().create_gauge(name, unit, description)

    def create_histogram(self, name: str, unit: str = "", description: str = "", **more: Any) -> Any:
        self._note(name, unit, "histogram")
        return super().create_histogram(name, unit, description, **more)

    def create_observable_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> Any:
        self._note(name, unit, "counter")
        return super().create_observable_counter(name, callbacks, unit, description)

    def create_observable_gauge(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> Any:
        self._note(name, unit, "gauge")
        return super().create_observable_gauge(name, callbacks, unit, description)

    def create_observable_up_down_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> Any:
        self._note(name, unit, "up-down counter")
        return super().create_observable_up_down_counter(name, callbacks, unit, description)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    recorder = Recorder()
    monkeypatch.setattr(opentelemetry.metrics, "get_meter", lambda _: recorder)
    RouterInstruments()
    show_classes(lambda: ())
    FeedbackInstruments()
    WorkerInstruments().show_load(lambda: Load(0, 0, 1), {})
    EnergyMetrics(BalanceSheet(list), lambda: 0, Footprint(1.2, 300.0))
    return recorder.names


def dashboard_expressions() -> Iterator[str]:
    for file in (DEPLOY / "grafana/dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])


def rule_expressions() -> Iterator[str]:
    for group in yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def metrics_in(expression: str) -> set[str]:
    """Names that are no labels: those stand in braces or behind `by`."""
    without_labels = re.sub(r"\{[^}]*\}|\bby \([^)]*\)", "", expression)
    return set(NAME.findall(without_labels))


@pytest.mark.parametrize("expression", [*dashboard_expressions(), *rule_expressions()])
def test_services_emit_what_is_shown(expression: str, emitted: set[str]) -> None:
    used = metrics_in(expression)
    assert used, "an expression without a metric"
    assert used <= emitted, f"nobody emits {', '.join(sorted(used - emitted))}"


def test_the_dashboard_shows_what_an_operator_asks_for() -> None:
    shown = {name for expression in dashboard_expressions() for name in metrics_in(expression)}
    assert {
        "messplus_sla_satisfaction_ratio",
        "messplus_sla_target_ratio",
        "messplus_worker_waiting",
        "messplus_request_energy_joules_sum",
        "messplus_energy_attributed_joules_total",
        "hw_energy_joules_total",
        "messplus_learner_lag",
        "messplus_router_generation_duration_seconds_bucket",
    } <= shown
