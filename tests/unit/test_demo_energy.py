"""Joules of a demo run per model and kind, and the bands of its power."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from cli.demo.energy_table import energy_section, energy_table
from cli.demo.power_figure import MEAN_SECONDS, smoothed, stacked
from cli.demo.spent import PowerPoint, RunEnergy, SpentGeneration, by_kind, by_model, spending
from services.core.events import EnergyAttributed

FIGURE = EnergyAttributed(
    "r1", "g1", "small", 4.0, uncertainty_joules=0.5, quality="MEASURED", method="nvml", tier="B"
)
MODELS = ("small", "large", "never-asked")


def generation(kind: str, begin: float, end: float, number: int = 1, **changes: object) -> SpentGeneration:
    names = {"request_id": f"r{number}", "generation_id": f"g{number}"}
    return SpentGeneration(kind, begin, end, replace(FIGURE, **names | changes))  # type: ignore[arg-type]


RUN = RunEnergy(
    [
        generation("units", 0.0, 2.0, 1),
        generation("units", 1.0, 3.0, 2, energy_joules=8.0, uncertainty_joules=1.5),
        generation("capital", 1.0, 2.0, 3, model_id="large", energy_joules=20.0, uncertainty_joules=2.0),
        generation(
            "capital",
            4.0,
            5.0,
            4,
            model_id="large",
            energy_joules=1.0,
            uncertainty_joules=None,
            quality="ESTIMATED",
            method="coefficients+nvml",
        ),
    ],
    [PowerPoint(1.0, 5.0)],
)


def test_joules_add_up_over_kinds_and_models() -> None:
    kinds = by_kind(RUN, MODELS)
    assert list(kinds) == ["capital", "units"]
    assert [one and (one.generations, one.joules) for one in kinds["units"]] == [(2, 12.0), None, None]
    assert [one and (one.generations, one.joules) for one in kinds["capital"]] == [None, (2, 21.0), None]
    small, large, nobody = by_model(RUN, MODELS)
    assert small is not None
    assert large is not None
    assert (small.joules + large.joules, nobody) == (33.0, None)
    assert (small.mean_joules, small.uncertainty_joules) == (6.0, 1.0)
    assert large.uncertainty_joules is None
    assert large.trust == ("ESTIMATED coefficients+nvml, tier B", "MEASURED nvml, tier B")
    assert spending([]) is None


def test_the_first_generations_may_lack_an_interval() -> None:
    known = [generation("units", 0.0, 1.0, i, uncertainty_joules=i) for i in (1.0, 2.0)]
    both = spending([generation("units", 0.0, 1.0, uncertainty_joules=None), *known])
    assert both is not None
    assert both.uncertainty_joules == 1.5


def test_the_table_shows_joules_uncertainty_and_method_of_each_model() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(energy_table(RUN, MODELS))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    def row(name: str) -> list[str]:
        found = next(line for line in lines if line.split("│")[1:2] and line.split("│")[1].strip() == name)
        return [cell.strip() for cell in found.split("│")[2:-1]]

    assert row("units") == ["6 ± 1 J (2)", "-", "-"]
    assert row("capital") == ["-", "10.5 J (2)", "-"]
    assert row("all kinds") == ["6 ± 1 J (2)", "10.5 J (2)", "-"]
    assert row("joules in all") == ["12 J", "21 J", "-"]
    assert row("method")[0] == "MEASURED nvml, tier B"
    assert "95 % intervals" in console.file.getvalue()  # type: ignore[attr-defined]


def test_without_uncertainty_none_is_explained_and_names_are_no_markup() -> None:
    plain = RunEnergy([generation("<b>", 0.0, 1.0, uncertainty_joules=None, model_id="[red]")])
    section = energy_section(plain, ("[red]",))
    assert "±" not in section
    assert "<td>&lt;b&gt;</td><td>4 J (1)</td>" in section
    console = Console(file=io.StringIO(), width=100)
    console.print(energy_table(plain, ("[red]",)))
    assert "[red]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_bands_lie_on_each_other_and_hold_the_joules_of_their_requests() -> None:
    bars = stacked(RUN.generations, 0.0, 5.0)
    assert bars == [
        (0, 0.0, 1.0, 0.0, 2.0),
        (0, 1.0, 1.0, 0.0, 2.0),
        (1, 1.0, 1.0, 2.0, 4.0),
        (2, 1.0, 1.0, 6.0, 20.0),
        (1, 2.0, 1.0, 0.0, 4.0),
        (3, 4.0, 1.0, 0.0, 1.0),
    ]
    for number, one in enumerate(RUN.generations):
        drawn = sum(width * watts for n, _, width, _, watts in bars if n == number)
        assert drawn == pytest.approx(one.figure.energy_joules)


def test_a_stretch_cuts_bands_at_its_ends_and_a_generation_without_time_has_none() -> None:
    assert stacked(RUN.generations, 0.5, 0.75) == [(0, 0.5, 0.25, 0.0, 2.0)]
    assert stacked([generation("units", 1.0, 1.0)], 0.0, 2.0) == []
    assert generation("units", 1.0, 1.0).power_watts == 0.0


def test_the_meters_line_is_a_mean_that_keeps_the_joules_of_a_burst() -> None:
    power = [PowerPoint(i / 2, 60.0 if i == 40 else 2.0) for i in range(81)]
    line = smoothed(power, np.array([5.0, 20.0, 40.0]))
    burst = 2.0 + 58.0 * 0.5 / MEAN_SECONDS
    assert line == pytest.approx([2.0, burst, 2.0])
    assert smoothed(power[:1], np.array([0.0])) == pytest.approx([0.0])
