"""What a zoo asks for against what the machine has; and the alarm of a meter that fails."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.common.footprint import Footprint
from services.common.zoo import EnergySettings
from services.core.energy_ledger import Balance
from services.core.errors import ConfigError
from services.energy import metrics
from services.energy.balance_sheet import BalanceSheet
from services.energy.metering import MeterStatus
from services.energy.meters.base import Observed
from services.energy.meters.machine import machine_counters
from tests.nvml_stand_in import StandIn


def test_process_cpu_has_no_counter_of_its_own_and_a_trace_has_one(tmp_path: Path) -> None:
    assert machine_counters(EnergySettings()) == []
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,joules\n0,0\n1,5\n")
    (meter,) = machine_counters(EnergySettings(meter="replay", replay_file=trace))
    assert meter.kind == "replay"


def test_all_gpus_or_those_that_are_named(gpu: StandIn) -> None:
    gpu.begin(gpus=3)
    assert len(machine_counters(EnergySettings(meter="nvml"))) == 3
    named = ("GPU-00000002", "GPU-00000000")
    found = machine_counters(EnergySettings(meter="nvml", devices=named))
    assert tuple(meter.meter_id for meter in found) == named


def refusal(settings: EnergySettings) -> str:
    with pytest.raises(ConfigError) as error:
        machine_counters(settings, "zoo.yaml")
    (problem,) = error.value.problems
    return str(problem)


def test_a_zoo_that_asks_for_what_is_not_here_is_refused_with_a_remedy(gpu: StandIn) -> None:
    gpu.begin(gpus=2)
    said = refusal(EnergySettings(meter="nvml", devices=("GPU-9",)))
    assert said.startswith("zoo.yaml: energy.devices[0] = GPU-9: must be one of GPU-00000000, GPU-00000001;")
    gpu.begin(gpus=0)
    assert "this machine has no GPU" in refusal(EnergySettings(meter="nvml"))
    gpu.play(init_code=9)
    said = refusal(EnergySettings(meter="nvml"))
    assert said.startswith("zoo.yaml: energy.meter = nvml: ")
    assert "load the NVIDIA kernel driver" in said
    assert "`messplus meters`" in said


def status(available: bool = True, suspect: str = "", windows: dict[str, int] | None = None) -> MeterStatus:
    observed = Observed(suspect=suspect, unknown_windows=windows or {})
    return MeterStatus("GPU-a", "gpu/nvidia", "nvml", "MEASURED", available, "", None, 0, Balance(), observed)


def exported(monkeypatch: pytest.MonkeyPatch, statuses: Sequence[MeterStatus]) -> dict[tuple[str, Any], Any]:
    """Value by metric and the attribute that tells its points apart."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr(metrics, "meter", lambda: provider.get_meter("test"))
    sheet = BalanceSheet(lambda: statuses)
    sheet.take(0)
    metrics.EnergyMetrics(sheet, lambda: 0, Footprint())
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    return {
        (metric.name, point.attributes.get("hw.state") or point.attributes.get("error.type")): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name in ("hw.status", "hw.errors")
        for point in metric.data.data_points
        if point.attributes is not None
    }


@pytest.mark.parametrize(
    ("one", "state"),
    [(status(), "ok"), (status(suspect="80 %"), "degraded"), (status(available=False), "failed")],
)
def test_a_meter_that_is_away_raises_the_alarm(
    monkeypatch: pytest.MonkeyPatch, one: MeterStatus, state: str
) -> None:
    shown = exported(monkeypatch, [one])
    assert {key[1]: value for key, value in shown.items()} == {
        each: int(each == state) for each in ("ok", "degraded", "failed")
    }


def test_windows_of_unknown_energy_are_counted_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = exported(monkeypatch, [status(windows={"reset": 2, "implausible": 1})])
    assert (shown["hw.errors", "reset"], shown["hw.errors", "implausible"]) == (2, 1)
