"""Labels of users who answer more often when they are dissatisfied, beside an audited sample."""

import math

import numpy as np
import pytest
from pacer_world import FEATURES, Loop, priors, requests

from services.core.joint_gaussian import JointGaussian
from services.core.ledger import Ledger
from services.core.policies.pacer import Pacer
from services.core.policies.pacer_answering import Answering
from services.core.policies.pacer_parameters import PacerParameters

POLICY = Pacer(PacerParameters())
RATIO = 3.0


def taught(audited_share, seed=0, count=4000):
    """A state that saw the smallest model's answers alone, judged by biased users and by audits."""
    features, satisfied, _ = requests(seed, count)
    rng = np.random.default_rng((seed, 1))
    state = POLICY.initial_state(priors(), FEATURES)
    for x, (label, *_) in zip(features, satisfied, strict=True):
        audited = rng.random() < audited_share
        if audited or rng.random() < (0.25 if label else 0.25 * RATIO):
            POLICY.learn_label(state, x, 0, label, audited=audited)
    believed = 1 / (1 + np.exp(-(features @ state.satisfaction.mean[0])))
    return state, believed.mean() - satisfied[:, 0].mean()


def test_audits_show_how_much_more_often_the_dissatisfied_answer():
    errors, logs = [], []
    for seed in range(6):
        state, error = taught(0.05, seed)
        logs.append(POLICY.answer_ratio(state))
        errors.append(error)
    assert np.mean(np.log(logs)) == pytest.approx(math.log(RATIO), abs=0.25)
    assert abs(np.mean(errors)) < 0.03
    assert np.abs(errors).max() < 0.1


def test_without_audits_nothing_is_corrected():
    state, error = taught(0.0)
    assert POLICY.answer_ratio(state) == 1.0
    assert error < -0.1
    rng = np.random.default_rng(0)
    answering = Answering.initial(3, FEATURES, 1.0)
    prior = PacerParameters().satisfaction_prior(FEATURES)
    plain, corrected = (JointGaussian.initial([0.0] * 3, FEATURES, prior) for _ in range(2))
    for number in range(100):
        x = rng.normal(size=FEATURES)
        plain.learn(number % 3, x, 0.3, 0.2)
        answering.learn(corrected, number % 3, x, 0.3, 0.2, audited=False)
    assert np.array_equal(plain.mean, corrected.mean)
    assert np.array_equal(plain.covariance, corrected.covariance)


def test_the_bias_is_what_a_joint_belief_over_weights_and_ratio_gives():
    """Separate estimation is exact: here against ordinary regression with the bias as one more weight."""
    rng = np.random.default_rng(1)
    prior = PacerParameters().satisfaction_prior(FEATURES)
    belief, answering = JointGaussian.initial([0.2], FEATURES, prior), Answering.initial(1, FEATURES, 1.0)
    mean = np.concatenate([belief.mean[0], [0.0]])
    precision = np.zeros((FEATURES + 1, FEATURES + 1))
    precision[:-1, :-1], precision[-1, -1] = np.linalg.inv(prior.covariance(1, FEATURES)), 1.0
    pull = precision @ mean
    for number in range(60):
        x, observed, curvature, audited = rng.normal(size=FEATURES), rng.normal(), 0.2, number % 4 == 0
        expected = belief.mean[0] @ x - (0.0 if audited else answering.log_ratio)
        answering.learn(belief, 0, x, curvature * (observed - expected), curvature, audited=audited)
        row = np.concatenate([x, [-float(not audited)]])
        precision += curvature * np.outer(row, row)
        pull += curvature * observed * row
    joint = np.linalg.solve(precision, pull)
    assert np.allclose(np.concatenate([belief.mean[0], [answering.log_ratio]]), joint)
    assert answering.variance == pytest.approx(np.linalg.inv(precision)[-1, -1])


def test_the_ledger_weighs_biased_labels_by_how_rare_they_are():
    rng = np.random.default_rng(2)
    owed = {RATIO: [], 1.0: []}
    for ratio, ends in owed.items():
        for _ in range(10):
            ledger, truth = Ledger(), 0.0
            for _ in range(2000):
                number = ledger.decide(0.0, 0.6 - 0.7)
                label, audited = float(rng.random() < 0.6), rng.random() < 0.02
                truth += 0.6 - label
                if audited or rng.random() < (0.2 if label else 0.2 * RATIO):
                    ledger.credit(number, 0.7, label, ratio, audited=audited)
            ends.append(ledger.debt - truth)
    assert abs(np.mean(owed[RATIO])) < 60
    assert np.mean(owed[1.0]) > 300


def test_the_learned_bias_survives_its_arrays():
    state, _ = taught(0.05, count=300)
    arrays = POLICY.state_arrays(state)
    restored = POLICY.state_from_arrays(arrays, priors(), FEATURES)
    assert restored.answering.audits == state.answering.audits > 0
    again = POLICY.state_arrays(restored)
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())


def test_a_world_without_audits_decides_as_if_none_could_be():
    stream = requests(3, 200)
    fixed = Pacer(PacerParameters(answering_prior_sd=0.0))
    assert Loop(policy=fixed).run(*stream).served == Loop().run(*stream).served
