"""Coefficients are recovered from windows, fall back on the prior, begin anew where they must."""

import json
from copy import deepcopy
from dataclasses import astuple, replace
from functools import cache

import numpy as np
import pytest

from services.core.attribution import EnergyShare, Window, attribute
from services.core.calibration import FEATURES, MIN_WINDOWS, StepCalibration, step_features
from services.core.meter_calibration import BATCH_WINDOWS, MeterCalibration
from services.core.steps import GenerationWork, Step, StepCoefficients, StepWork
from services.core.uncertainty import Doubt, Exposure, expose

TRUE = StepCoefficients(0.02, 1e-6, 0.05, 2e-5, 2.0)
PRIOR = StepCoefficients(0.28, 1.6e-5, 0.7, 4e-5, 0.5)
IDLE_WATTS, LAG = 100.0, 70_000_000
MILLISECOND = 1_000_000


def steps(seed: int, count: int, prefill: bool = True) -> list[Step]:
    """Batches that come and go, with pauses in which nobody is served."""
    random = np.random.default_rng(seed)
    made, now, batch = [], 0, 4.0
    for _ in range(count):
        batch = float(np.clip(batch + random.normal(0, 1.5), 1, 40))
        work = [GenerationWork(f"g{i}", 0, 1, int(random.integers(50, 3000))) for i in range(int(batch))]
        if prefill and random.random() < 0.3:
            prompt = int(random.integers(50, 2000))
            work.append(GenerationWork("new", prompt, 1, prompt))
        length = int((8 + 0.1 * batch + random.exponential(1)) * MILLISECOND)
        now += 2_000 * MILLISECOND if random.random() < 0.004 else 0
        made.append(Step(now, now + length, StepWork.of(*work), TRUE))
        now += length
    return made


def joules(step: Step) -> float:
    features = step_features([step.work])[0, :5]
    seconds = (step.end_nanoseconds - step.start_nanoseconds) * 1e-9
    return IDLE_WATTS * seconds + float(np.dot(features, astuple(TRUE)))


def windows(made: list[Step], period: int, lag: int, noise: float, seed: int) -> list[Window]:
    """What a counter shows that is `lag` behind."""
    random = np.random.default_rng(seed)
    times, shown = [0.0], [0.0]
    for step in made:
        idle = IDLE_WATTS * (step.start_nanoseconds - times[-1]) * 1e-9
        times += [step.start_nanoseconds + 0.5, step.end_nanoseconds]
        shown += [shown[-1] + idle, shown[-1] + idle + joules(step)]
    edges = np.arange(lag + period, made[-1].end_nanoseconds, period)
    rises = np.diff(np.interp(edges - lag, times, shown))
    rises *= 1 + noise * random.normal(size=len(rises))
    return [
        Window(int(a), int(b), round(float(rise) * 1e6))
        for a, b, rise in zip(edges, edges[1:], rises.clip(0), strict=False)
    ]


def learned(made: list[Step], seen: list[Window], prior: StepCoefficients = PRIOR) -> MeterCalibration:
    calibration = MeterCalibration(IDLE_WATTS / 2)
    calibration.prepare("m", prior, "engine")
    for step in made:
        calibration.add_step("m", step)
    for first in range(0, len(seen), BATCH_WINDOWS):
        lag = calibration.lag.nanoseconds
        for w in seen[first : first + BATCH_WINDOWS]:
            shifted = Window(w.start_nanoseconds - lag, w.end_nanoseconds - lag, w.energy_microjoules)
            calibration.add_window(shifted)
        calibration.learn(made[-1].end_nanoseconds, lag_is_given=False)
    return calibration


@cache
def calibrated() -> MeterCalibration:
    made = steps(5, 8000)
    calibration = learned(made, windows(made, 50 * MILLISECOND, LAG, 0.01, 6))
    assert calibration.models["m"].version > 0
    return calibration


def test_known_coefficients_lag_and_idle_power_are_recovered() -> None:
    made = steps(1, 20_000)
    calibration = learned(made, windows(made, 50 * MILLISECOND, LAG, 0.01, 2))
    model = calibration.models["m"]
    assert calibration.lag.nanoseconds == pytest.approx(LAG, abs=2 * MILLISECOND)
    assert calibration.idle.watts == pytest.approx(IDLE_WATTS, rel=0.02)
    found, true = model.coefficients, TRUE
    assert found.prefill_joules + 1000 * found.prefill_context_joules == pytest.approx(
        true.prefill_joules + 1000 * true.prefill_context_joules, rel=0.03
    )
    assert found.context_joules == pytest.approx(true.context_joules, rel=0.15)
    assert found.step_joules + 10 * found.decode_joules == pytest.approx(
        true.step_joules + 10 * true.decode_joules, rel=0.03
    )
    assert 0 < model.residuals.total_ratio < 0.05


def test_a_step_costs_its_idle_power_and_a_token_its_part_of_prompt_and_context() -> None:
    made = steps(1, 20_000)
    seen = windows(made, 50 * MILLISECOND, LAG, 0.01, 2)
    assert MeterCalibration(IDLE_WATTS).step_laws() == {}
    law = learned(made, seen).step_laws()["m"]
    done = step_features([step.work for step in made]).sum(axis=0)
    caused = np.dot(done[:4], astuple(TRUE)[:4]) / done[2]
    assert caused > 4 * (TRUE.decode_joules + TRUE.context_joules * 1500)  # mostly prompts
    for running in (0, 8, 20):
        seconds = 0.009 + 0.0001 * (running + 1)  # steps last 9 to 13 ms
        truth = (IDLE_WATTS * seconds + TRUE.step_joules) / (running + 1) + caused
        assert law.joules_per_token(running) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_only_the_ratios_of_the_prior_count(scale: float) -> None:
    made = steps(3, 8000)
    seen = windows(made, 50 * MILLISECOND, LAG, 0.01, 4)
    scaled = StepCoefficients(*(scale * value for value in astuple(PRIOR)))
    found = astuple(learned(made, seen, scaled).models["m"].coefficients)
    assert found == pytest.approx(astuple(learned(made, seen).models["m"].coefficients), rel=0.02)


def test_what_traffic_does_not_tell_apart_stays_as_the_prior_says() -> None:
    calibration = StepCalibration(PRIOR)
    features = step_features([StepWork.of(GenerationWork("g", 0, 1, 100))] * MIN_WINDOWS)
    calibration.observe(features, np.full(MIN_WINDOWS, 1.204))
    found, share = calibration.coefficients, 1.204 / (0.7 + 100 * 4e-5 + 0.5)
    # One kind of step only: the sum is known, its parts keep the prior's ratios; prompts were never seen.
    assert found.decode_joules / found.step_joules == pytest.approx(0.7 / 0.5, rel=0.2)
    assert found.prefill_joules == pytest.approx(share * PRIOR.prefill_joules, rel=1e-6)
    assert found.decode_joules + found.step_joules + 100 * found.context_joules == pytest.approx(
        1.204, rel=0.01
    )


def test_too_few_windows_change_nothing() -> None:
    calibration = StepCalibration(PRIOR)
    calibration.observe(np.ones((MIN_WINDOWS - 1, FEATURES)), np.ones(MIN_WINDOWS - 1))
    assert (calibration.version, calibration.coefficients) == (0, PRIOR)


@pytest.mark.parametrize("decoded", [0, 1, 2, 3, 5, 64, 100, 512, 2000])
def test_hats_reproduce_every_affine_law_of_the_batch(decoded: int) -> None:
    (row,) = step_features([StepWork.of(GenerationWork("g", 0, decoded, 0))])
    knots = [0, *(2**i for i in range(10))]
    assert sum(row[5:]) == pytest.approx(1.0)
    assert float(np.dot(row[5:], knots)) == pytest.approx(decoded)


def test_features_of_many_steps_are_those_of_each() -> None:
    works = [StepWork.of(), *(step.work for step in steps(3, 20)), StepWork.of()]
    alone = [step_features([work])[0] for work in works]
    assert step_features(works) == pytest.approx(np.array(alone))
    assert step_features([]).shape == (0, FEATURES)
    assert not step_features([StepWork.of()])[0, :4].any()


def test_another_engine_or_power_limit_begins_anew_and_another_prior_does_not() -> None:
    calibration = deepcopy(calibrated())
    before = calibration.models["m"].coefficients
    assert not calibration.prepare("m", replace(PRIOR, step_joules=9.0), "engine")
    assert calibration.models["m"].coefficients == before
    assert calibration.prepare("m", PRIOR, "engine, at most 500 W")
    assert (calibration.models["m"].version, calibration.models["m"].coefficients) == (0, PRIOR)


def test_what_was_learned_survives_as_json_to_the_last_bit() -> None:
    calibration = calibrated()
    again = MeterCalibration(IDLE_WATTS / 2)
    again.load(json.loads(json.dumps(calibration.to_state())), {"m": PRIOR})
    assert again.to_state() == calibration.to_state()
    assert again.models["m"].coefficients == calibration.models["m"].coefficients
    assert Doubt.of(again.models["m"]) == Doubt.of(calibration.models["m"])


@pytest.mark.parametrize("key", ["gram", "moment", "residuals", "solution", "conditions"])
def test_a_state_of_another_kind_is_refused_and_changes_nothing(key: str) -> None:
    state = json.loads(json.dumps(calibrated().to_state()))
    del state["models"]["m"][key]
    fresh = MeterCalibration(50.0)
    before = fresh.to_state()
    with pytest.raises(KeyError):
        fresh.load(state, {"m": PRIOR})
    assert fresh.to_state() == before


@pytest.mark.parametrize("seed", range(20))
def test_conservation_and_symmetry_with_calibrated_coefficients(seed: int) -> None:
    costs = calibrated().models["m"].coefficients
    random = np.random.default_rng(seed)
    work = [
        GenerationWork(f"{i}", int(random.integers(0, 3) * 50), 1, int(random.integers(9, 999)))
        for i in range(30)
    ]
    energy = int(random.integers(1, 10**9))
    window = Window(0, 10**8, energy)
    shares = attribute([window], [Step(0, 10**8, StepWork.of(*work), costs)], 80.0).shares
    assert sum(share.total_microjoules for share in shares.values()) == energy
    order = random.permutation(30)
    shuffled = StepWork.of(*(work[i] for i in order))
    assert attribute([window], [Step(0, 10**8, shuffled, costs)], 80.0).shares == shares


def test_one_request_alone_pays_the_rise_of_the_counter_less_the_idle() -> None:
    costs = calibrated().models["m"].coefficients
    alone = Step(250 * MILLISECOND, 1000 * MILLISECOND, StepWork.of(GenerationWork("a", 10, 1, 10)), costs)
    attribution = attribute([Window(0, 1000 * MILLISECOND, 300_000_001)], [alone], 100.0)
    share: EnergyShare = attribution.shares["a"]
    assert share.total_microjoules == 300_000_001 - 25_000_000


def test_uncertainty_is_of_edges_alone_and_of_costs_only_next_to_others() -> None:
    doubt = Doubt(edge_joules=2.0, costs_fraction=0.1)
    alone, shared = Exposure(), Exposure()
    for _ in range(10):
        expose([alone, shared], [doubt, doubt], np.array([[30.0, 3.0]]), np.array([30.0]))
    noise = 0.004**2
    # Two edges of 2 J, at which its part goes from 0 to 1 and back; 10 % of 30 J, 0.9 of it disputed.
    assert alone.variance() == pytest.approx(2 * 2.0**2 + noise * 300**2)
    assert shared.variance() == pytest.approx(2 * 0.2**2 + (0.1 * 30 * 0.9) ** 2 + noise * 30**2)
