"""The energy model: the step law, what load does to a request's joules, and sums that come out right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.energy_model import EnergyModel, StepLaw, fitted_step_law, request_joules
from services.core.policies.pacer_parameters import PacerParameters
from services.core.steps import StepCoefficients

COSTS = StepCoefficients(
    prefill_joules=0.02,
    prefill_context_joules=1e-6,
    decode_joules=0.0665,
    context_joules=1e-5,
    step_joules=3.16,
)
BATCHES = (1.0, 8.0, 64.0, 256.0)
WIDTH = 4
counts = st.floats(0.0, 1e5)


def model_of(costs=(COSTS, COSTS), priors=(None, None)):
    return EnergyModel(costs, priors, WIDTH, PacerParameters().energy_prior(WIDTH))


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_the_fit_recovers_known_coefficients(step_joules, decode_joules):
    law = StepLaw(step_joules, decode_joules)
    found = fitted_step_law(BATCHES, [law.joules_per_token(size - 1.0) for size in BATCHES])
    assert found.step_joules == pytest.approx(step_joules, rel=1e-5)
    assert found.decode_joules == pytest.approx(decode_joules, rel=1e-5)


def test_the_fit_bears_noise_and_a_left_out_batch_size():
    rng, law = np.random.default_rng(0), StepLaw(3.16, 0.0665)
    sizes = np.repeat([4.0, 8.0, 32.0, 128.0], 20)
    noisy = [law.joules_per_token(size - 1.0) * rng.uniform(0.95, 1.05) for size in sizes]
    found = fitted_step_law(sizes.tolist(), noisy)
    assert found.joules_per_token(63.0) == pytest.approx(law.joules_per_token(63.0), rel=0.02)


@pytest.mark.parametrize(
    ("joules", "zero"), [((1.0, 2.0, 4.0), "step_joules"), ((8.0, 1.0, 0.1), "decode_joules")]
)
def test_what_no_law_fits_gets_no_negative_coefficient(joules, zero):
    found = fitted_step_law((1.0, 2.0, 4.0), joules)
    assert getattr(found, zero) == 0.0
    assert found.joules_per_token(0.0) > 0.0


def test_one_batch_size_fits_nothing():
    with pytest.raises(ValueError, match="at least two different"):
        fitted_step_law((8.0, 8.0), (1.0, 1.1))


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_law_refuses_impossible_costs(wrong):
    with pytest.raises(ValueError, match="decode_joules"):
        StepLaw(1.0, wrong)


def test_an_idle_worker_pays_its_whole_fixed_cost():
    law = StepLaw(3.16, 0.0665)
    assert law.joules_per_token(0.0) == 3.16 + 0.0665
    assert law.joules_per_token(63.0) == pytest.approx(0.119, rel=0.04)
    assert law.load_factor(0.0) == 1.0
    assert law.load_factor(63.0) == pytest.approx((3.16 / 64 + 0.0665) / 3.2265)


@given(st.floats(0.0, 1e3), st.floats(0.0, 1e4))
def test_without_a_fixed_cost_load_changes_nothing(decode_joules, running):
    assert StepLaw(0.0, decode_joules).load_factor(running) == 1.0


@given(st.floats(1e-6, 1e3), st.floats(0.0, 1e3), st.floats(0.0, 1e4), st.floats(0.0, 1e4))
def test_more_load_never_costs_a_request_more(step_joules, decode_joules, running, more):
    law = StepLaw(step_joules, decode_joules)
    assert 0.0 < law.load_factor(running + more) <= law.load_factor(running) <= 1.0


@given(counts, counts, counts, counts, st.floats(0.0, 1e3))
def test_joules_never_fall_with_prompt_or_generated_tokens(prompt, tokens, more_prompt, more_tokens, running):
    less = request_joules(COSTS, prompt, tokens, running)
    assert request_joules(COSTS, prompt + more_prompt, tokens, running) >= less
    assert request_joules(COSTS, prompt, tokens + more_tokens, running) >= less


def heavy_tailed(count, seed=0):
    """Features (n, WIDTH) and tokens (n, 2): every twentieth answer of the second model runs to its limit."""
    rng = np.random.default_rng(seed)
    features = np.hstack([np.ones((count, 1)), rng.normal(size=(count, WIDTH - 1))])
    logs = np.array([4.0, 4.5]) + 0.5 * features[:, 1:2] + 0.4 * rng.normal(size=(count, 2))
    tokens = np.exp(logs)
    tokens[rng.random(count) < 0.05, 1] = 4096.0
    return features, tokens


def replayed(model, count=4000):
    """Mean and median joules expected, and true ones, of the second half; loads and prompts vary."""
    rng = np.random.default_rng(7)
    features, tokens = heavy_tailed(count)
    prompts, running = rng.integers(10, 2000, count), rng.integers(0, 32, count)
    kept = []
    for x, lengths, prompt, load in zip(features, tokens, prompts, running, strict=True):
        expected = model.expect(x, prompt, [load, load])
        true = 2.5 * np.array([request_joules(COSTS, prompt, o, load) for o in lengths])
        kept.append((expected.mean_joules, expected.median_joules, true))
        for m in range(2):
            model.learn_outcome(m, x, lengths[m])
            model.learn_energy(m, prompt, lengths[m], load, true[m])
    return [np.array(part) for part in zip(*kept[count // 2 :], strict=True)]


def test_sums_are_calibrated_on_heavy_tails_and_medians_are_medians():
    means, medians, true = replayed(model_of())
    np.testing.assert_allclose(means.sum(axis=0), true.sum(axis=0), rtol=0.05)
    assert medians[:, 1].sum() < 0.9 * true[:, 1].sum()
    # Of the model without runaway answers: those draw the mean logarithm above the median.
    assert (true > medians).mean(axis=0)[0] == pytest.approx(0.5, abs=0.05)


def test_the_unit_of_the_coefficients_does_not_matter():
    scaled = StepCoefficients(*(1000.0 * getattr(COSTS, name) for name in COSTS.__slots__))
    means, _, true = replayed(model_of((scaled, scaled)))
    np.testing.assert_allclose(means.sum(axis=0), true.sum(axis=0), rtol=0.05)


def test_a_stated_prior_stands_until_measurements_outweigh_it():
    model, x = model_of(priors=(50.0, None)), np.array([1.0, 0.0, 0.0, 0.0])
    assert model.expect(x, 0.0, [0.0, 0.0]).median_joules[0] == pytest.approx(50.0)
    for _ in range(200):
        model.learn_energy(0, 0.0, 200.0, 0.0, 100.0)
    assert model.expect(x, 0.0, [0.0, 0.0]).median_joules[0] == pytest.approx(100.0, rel=0.05)


def test_only_the_loaded_workers_model_gets_cheaper():
    model, x = model_of(), np.array([1.0, 0.0, 0.0, 0.0])
    idle, loaded = model.expect(x, 0.0, [0.0, 0.0]), model.expect(x, 0.0, [0.0, 31.0])
    assert loaded.mean_joules[0] == idle.mean_joules[0]
    assert loaded.mean_joules[1] < 0.1 * idle.mean_joules[1]
    np.testing.assert_array_equal(loaded.tokens, idle.tokens)


def test_tokens_that_cost_nothing_are_refused():
    free = StepCoefficients(0.1, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="tokens must cost something"):
        model_of((COSTS, free))
