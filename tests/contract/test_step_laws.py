"""What the energy service has calibrated reaches the router's loads, through a real Valkey."""

from typing import cast

import pytest

from services.common.keys import Keys
from services.common.redis_client import connect
from services.core.energy_model import StepLaw
from services.energy.adapters.redis_calibrations import RedisCalibrations
from services.router.adapters.redis_state import RedisStepLaws

KEYS = Keys("step-laws")


def calibration(**laws: tuple[float, float]) -> dict[str, object]:
    costs = {name: {"step_joules": f, "decode_joules": m} for name, (f, m) in laws.items()}
    return {"step_laws": costs, "idle": {}, "models": {}}


async def test_a_step_costs_the_sum_of_its_meters_and_what_cannot_be_read_is_left_out(redis_url: str) -> None:
    client = connect(redis_url)
    laws = RedisStepLaws(client, KEYS)
    assert await laws.read() == {}
    stored = {
        "gpu-0": calibration(small=(3.0, 0.5)),
        "gpu-1": calibration(small=(2.0, 0.25), large=(9.0, 1.0)),
    }
    await RedisCalibrations(client, KEYS).save(stored)
    expected = {"small": StepLaw(5.0, 0.75), "large": StepLaw(9.0, 1.0)}
    assert await laws.read() == expected
    for meter_id, damaged in (("old", '{"models": {}}'), ("none", "no JSON"), ("list", "[1]")):
        await cast("object", client.hset(KEYS.calibration, meter_id, damaged))  # type: ignore[misc]
    await RedisCalibrations(client, KEYS).save({"gpu-2": calibration(small=(-1.0, float("nan")))})
    assert await laws.read() == expected
    await client.aclose()


@pytest.mark.parametrize("law", [StepLaw(0.0, 0.0), StepLaw(1.5, 0.25)])
def test_adding_nothing_changes_nothing(law: StepLaw) -> None:
    assert law + StepLaw(0.0, 0.0) == law
