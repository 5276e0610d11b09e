"""What `messplus energy` says of the energy service's figures, and the multipliers beside them."""

import json

import pytest
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb
from rich.console import Console

from cli.energy.view import energy_json, energy_view
from services.common.footprint import Footprint
from services.common.zoo import EnergySettings

MEASURED = common_pb2.GenerationEnergy(
    request_id="r",
    generation_id="r.0",
    model_id="small",
    energy_joules=3600.0,
    prefill_energy_joules=600.0,
    decode_energy_joules=2000.0,
    shared_energy_joules=1000.0,
    quality=common_pb2.ENERGY_QUALITY_MEASURED,
    method="nvml",
    tier=common_pb2.STEP_TIER_TOKEN_TIMES,
)
OFF = Footprint()
ESTIMATED = common_pb2.GenerationEnergy(
    request_id="r",
    generation_id="r.e1",
    model_id="[red]",
    energy_joules=10.0,
    uncertainty_joules=1.25,
    quality=common_pb2.ENERGY_QUALITY_ESTIMATED,
    method="coefficients+nvml",
    tier=common_pb2.STEP_TIER_NONE,
)


def reply(*generations: common_pb2.GenerationEnergy) -> pb.GetRequestEnergyResponse:
    joules = sum(one.energy_joules for one in generations)
    return pb.GetRequestEnergyResponse(generations=generations, energy_joules=joules)


def shown(answer: pb.GetRequestEnergyResponse, footprint: Footprint = OFF) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(energy_view("r", answer, footprint))
    return captured.get()


def test_every_generation_has_its_parts_and_how_far_to_trust_them() -> None:
    lines = shown(reply(MEASURED, ESTIMATED)).splitlines()
    assert lines[0] == "Request r: 3610 J in 2 generations"
    assert lines[3].split() == ["r.0", "small", "3600", "600", "2000", "1000", "MEASURED", "nvml", "B"]
    assert lines[4].split() == [
        "r.e1", "[red]", "10", "±", "1.2", "0", "0", "0", "ESTIMATED", "coefficients+nvml", "D",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert "tier B: the worker reported token times" in text
    assert "tier D: the worker reported no steps" in text
    assert "±: half-width of the 95 % interval" in text
    assert "MODELLED" not in text


def test_what_is_not_known_is_not_explained() -> None:
    text = shown(reply(MEASURED))
    assert text.splitlines()[0] == "Request r: 3600 J in 1 generation"
    for word in ("±", "ESTIMATED", "tier D", "Building", "Carbon"):
        assert word not in text


def test_multipliers_stand_below_with_their_factors_and_leave_the_joules_alone() -> None:
    text = shown(reply(MEASURED), Footprint(1.5, 400.0))
    assert "Request r: 3600 J" in text
    assert "Building: 5400 J (x PUE 1.5, configured)" in text
    # 5,400 J are .0015 kWh.
    assert "Carbon: 0.6 gCO2e (x 400 g/kWh, x PUE 1.5, configured)" in text
    assert "Carbon: 0.4 gCO2e (x 400 g/kWh, configured)" in shown(reply(MEASURED), Footprint(None, 400.0))


@pytest.mark.parametrize(
    ("footprint", "facility", "carbon"),
    [
        (Footprint(), None, None),
        (Footprint(2.0), {"pue": 2.0, "energy_joules": 7200.0}, None),
        (
            Footprint(None, 100.0),
            None,
            {"grams_per_kwh": 100.0, "includes_pue": False, "emissions_grams": 0.1},
        ),
    ],
)
def test_as_json_it_is_the_answer_with_the_multiplied_beside_it(
    footprint: Footprint, facility: object, carbon: object
) -> None:
    document = json.loads(energy_json("r", reply(MEASURED), footprint))
    assert (document["request_id"], document["energy_joules"]) == ("r", 3600.0)
    (generation,) = document["generations"]
    assert (generation["energy_joules"], generation["tier"]) == (3600.0, "STEP_TIER_TOKEN_TIMES")
    assert "uncertainty_joules" not in generation
    assert (document["facility"], document["carbon"]) == (facility, pytest.approx(carbon) if carbon else None)


def test_multipliers_are_off_unless_the_zoo_file_has_them() -> None:
    assert Footprint.of(EnergySettings()) == Footprint(None, None)
    settings = EnergySettings(power_usage_effectiveness=1.2, carbon_intensity_grams_per_kwh=0.0)
    assert Footprint.of(settings) == Footprint(1.2, 0.0)
    assert Footprint.of(settings).carbon_grams(1e9) == 0.0
