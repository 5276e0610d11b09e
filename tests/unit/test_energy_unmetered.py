"""A model in a server that no meter reads: its joules are estimated, not those of the relay's CPU time."""

from dataclasses import replace

import pytest
from energy_reports import SECOND, Told, of, told, worker_report

from services.core.events import EnergyAttributed
from services.core.steps import GenerationWork, StepCoefficients
from services.energy.accounting import UNMETERED_TIER, AccountingSettings, EnergyAccounting
from services.energy.recent import RecentEnergy

COSTS = StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)


def test_joules_come_from_the_step_costs_and_say_so() -> None:
    published: list[EnergyAttributed] = []
    settings = AccountingSettings(10.0, 0.0, {"served": COSTS}, "boot", 10.0)
    accounting = EnergyAccounting(settings, (), RecentEnergy(10), published.append, {})

    def report(at: int, *steps: Told, warming_up: bool = False) -> None:
        known = worker_report("w", at, 5.0 * at, steps, warming_up)
        accounting.take_report(replace(known, model_id="served", tier=UNMETERED_TIER), at * SECOND)

    report(1, warming_up=True)
    begun = told(2, 3, of(GenerationWork("g", 20, 0, 20), "r", False))
    report(4, begun, told(3, 4, of(GenerationWork("g", 0, 10, 30), "r", True)))
    report(5)
    (figure,) = published
    assert figure.energy_joules == pytest.approx(20 * 0.1 + 10 * 0.3)
    assert (figure.quality, figure.method, figure.tier) == ("ESTIMATED", "coefficients", "D")
    (status,) = accounting.meters()
    assert (status.available, status.read_microjoules) == (False, 0)
    assert "run the energy service beside the server" in status.detail
