"""A model in a server that no meter reads: its joules are estimated, not those of the relay's CPU time."""

import pytest

from services.core.attribution import GenerationWork, StepCoefficients
from services.core.events import EnergyAttributed
from services.energy.accounting import UNMETERED_TIER, AccountingSettings, EnergyAccounting
from services.energy.recent import RecentEnergy
from services.energy.reports import ReportedStep, ReportedWork, WorkerReport

SECOND = 1_000_000_000
COSTS = StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)


def test_joules_come_from_the_step_costs_and_say_so() -> None:
    published: list[EnergyAttributed] = []
    settings = AccountingSettings(10.0, 0.0, {"served": COSTS}, "boot", 10.0)
    accounting = EnergyAccounting(settings, (), RecentEnergy(10), published.append, {})

    def report(at: int, *steps: ReportedStep, warming_up: bool = False) -> None:
        told = WorkerReport(
            "w", "served", "boot", at * SECOND, 5.0 * at, steps, UNMETERED_TIER, warming_up=warming_up
        )
        accounting.take_report(told, at * SECOND)

    report(1, warming_up=True)
    works = (ReportedWork("r", GenerationWork("g", 20, 0, 20), False, ""),)
    ending = (ReportedWork("r", GenerationWork("g", 0, 10, 30), True, ""),)
    report(4, ReportedStep(2 * SECOND, 3 * SECOND, works), ReportedStep(3 * SECOND, 4 * SECOND, ending))
    report(5)
    (figure,) = published
    assert figure.energy_joules == pytest.approx(20 * 0.1 + 10 * 0.3)
    assert (figure.quality, figure.method, figure.tier) == ("ESTIMATED", "coefficients", "D")
    (status,) = accounting.meters()
    assert (status.available, status.read_microjoules) == (False, 0)
    assert "run the energy service beside the server" in status.detail
