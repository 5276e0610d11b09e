"""What the belief over all models' weights is, however its newest observations are kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.joint_gaussian import JointGaussian
from services.core.weight_prior import WeightPrior

MODELS, FEATURES = 3, 5
PRIOR = WeightPrior(0.7, 0.3, 0.5, 0.9)


def observed(belief, numbers, forget_every=7):
    for number in numbers:
        rng = np.random.default_rng(number)
        belief.learn(number % MODELS, rng.normal(size=FEATURES), rng.normal(), rng.uniform(0.1, 2.0))
        if number % forget_every == 0:
            belief.forget(PRIOR, 1e-3)
    return belief


def prior_belief():
    return JointGaussian.initial([0.1, 0.2, 0.3], FEATURES, PRIOR)


@pytest.mark.parametrize("count", [1, 5, 16, 17, 100])
def test_it_is_bayes_rule_one_observation_after_the_other(count):
    belief = observed(prior_belief(), range(count), forget_every=1000)
    mean, exact = prior_belief().mean.ravel(), prior_belief().covariance
    for number in range(count):
        rng = np.random.default_rng(number)
        row = np.zeros(MODELS * FEATURES)
        at = number % MODELS * FEATURES
        row[at : at + FEATURES] = rng.normal(size=FEATURES)
        innovation, precision = rng.normal(), rng.uniform(0.1, 2.0)
        covaries = exact @ row
        gain = 1.0 / (1.0 + precision * row @ covaries)
        mean = mean + gain * innovation * covaries
        exact = exact - gain * precision * np.outer(covaries, covaries)
        if number == 0:
            PRIOR.add_to(exact, MODELS, 1e-3)
    assert belief.mean.ravel() == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert belief.covariance == pytest.approx(exact, rel=1e-9, abs=1e-12)
    own = [exact[i : i + FEATURES, i : i + FEATURES] for i in range(0, MODELS * FEATURES, FEATURES)]
    assert belief.blocks == pytest.approx(np.array(own), rel=1e-9, abs=1e-12)
    assert np.array_equal(belief.covariance, belief.covariance.T)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_a_restored_belief_goes_on_bit_for_bit(before, after):
    belief = observed(prior_belief(), range(before))
    restored = JointGaussian.unpacked(belief.mean.copy(), belief.packed())
    for one in (belief, restored):
        observed(one, range(before, before + after))
    assert np.array_equal(belief.mean, restored.mean)
    assert np.array_equal(belief.blocks, restored.blocks)
    assert np.array_equal(belief.packed(), restored.packed())
    assert len(belief.packed()) == JointGaussian.packed_length(MODELS, FEATURES)
