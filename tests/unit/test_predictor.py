import math

import numpy as np
import pytest

from services.core.errors import InvalidSnapshotError
from services.core.predictor import (
    LinearPredictor,
    NetworkPredictor,
    checked_arrays,
    initial_network_parameters,
    logit,
    parameter_count,
)

MODELS, FEATURES = 3, 5


def linear(**changes):
    arguments = {"learning_rate": 0.05, "scale": 0.1, "seed": 1, **changes}
    return LinearPredictor.initial((0.2, 0.5, None), FEATURES, **arguments)


def network(parameters=None, priors=(0.2, 0.5, 0.8), **changes):
    start = initial_network_parameters(priors, FEATURES, seed=1) if parameters is None else parameters
    options = {
        "learning_rate": 0.1,
        "momentum_decay": 0.9,
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
        **changes,
    }
    return NetworkPredictor(start, np.zeros_like(start), MODELS, FEATURES, **options)


@pytest.fixture(params=[linear, network])
def predictor(request):
    return request.param()


@pytest.fixture
def features():
    return np.random.default_rng(3).normal(size=FEATURES)


def snapshot(predictor):
    return {name: array.copy() for name, array in predictor.arrays().items()}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_predicting_changes_nothing_and_stays_a_probability(predictor, features):
    before = snapshot(predictor)
    predicted = predictor.predict_one(100.0 * features)
    assert predicted.shape == (MODELS,)
    assert ((predicted >= 0.0) & (predicted <= 1.0)).all()
    assert same(before, snapshot(predictor))


def test_learning_goes_towards_the_labels(predictor, features):
    wanted = np.array([1.0, 0.0, 1.0])
    errors = []
    for _ in range(200):
        errors.append(float(np.abs(predictor.predict_one(features) - wanted).max()))
        predictor.learn_one(features, wanted)
    assert errors[-1] < 0.15 < errors[0]


def test_no_label_teaches_nothing(predictor, features):
    before = snapshot(predictor)
    predictor.learn_one(features, np.full(MODELS, np.nan))
    assert same(before, snapshot(predictor))


def test_a_missing_label_leaves_that_models_output_weights_alone(features):
    for subject, rows in ((linear(), lambda p: p.arrays()["weights"]), (bare_network(), output_rows)):
        before = rows(subject).copy()
        subject.learn_one(features, np.array([np.nan, 1.0, 0.0]))
        moved = np.abs(rows(subject) - before).max(axis=1) > 0
        assert moved.tolist() == [False, True, True]


def bare_network():
    return network(random_parameters(), weight_decay=0.0)


def output_rows(predictor):
    return predictor.arrays()["parameters"][-MODELS * (FEATURES + 1) : -MODELS].reshape(MODELS, FEATURES)


def random_parameters():
    return np.random.default_rng(8).normal(size=parameter_count(MODELS, FEATURES))


def test_linear_models_start_alike_but_for_their_priors():
    arrays = linear().arrays()
    assert (arrays["weights"] == arrays["weights"][0]).all()
    assert arrays["bias"].tolist() == [0.2, 0.5, 0.0]
    assert not np.array_equal(arrays["weights"], linear(seed=2).arrays()["weights"])


def test_one_linear_step_by_hand():
    # w . x + b = 0, y = 1: the error is -1, so with eta = .5 the weights move by .5 x = (1, .5), b by .5.
    subject = LinearPredictor(np.zeros((1, 2)), np.zeros(1), learning_rate=0.5)
    subject.learn_one(np.array([2.0, 1.0]), np.array([1.0]))
    assert subject.arrays()["weights"].tolist() == [[1.0, 0.5]]
    assert subject.arrays()["bias"].tolist() == [0.5]


def test_the_network_starts_at_the_priors_whatever_the_request(features):
    assert network().predict_one(features) == pytest.approx([0.2, 0.5, 0.8])
    assert network(priors=(None, 0.9, None)).predict_one(features) == pytest.approx([0.5, 0.9, 0.5])


@pytest.mark.parametrize("labels", [[1.0, 0.0, 1.0], [np.nan, 0.25, 1.0], [np.nan, np.nan, 0.0]])
def test_the_gradient_is_the_slope_of_the_loss(features, labels):
    start, wanted, width = random_parameters(), np.array(labels), 1e-6
    gradient = network(start.copy()).gradient(features, wanted)

    def loss_at(index, offset):
        moved = start.copy()
        moved[index] += offset
        return network(moved).loss(features, wanted)

    slopes = [(loss_at(i, width) - loss_at(i, -width)) / (2 * width) for i in range(len(start))]
    assert gradient == pytest.approx(np.array(slopes), abs=1e-8)


def test_steps_clip_then_decay_then_gather_momentum(features):
    start, wanted = random_parameters(), np.array([1.0, 0.0, 1.0])
    subject = network(start.copy(), gradient_clip=0.01)
    momentum, expected = np.zeros_like(start), start.copy()
    for _ in range(3):
        gradient = network(expected.copy()).gradient(features, wanted)
        assert np.linalg.norm(gradient) > 0.01
        clipped = gradient * 0.01 / np.linalg.norm(gradient) + 0.01 * expected
        momentum = 0.9 * momentum + clipped
        expected = expected - 0.1 * momentum
        subject.learn_one(features, wanted)
    assert subject.arrays()["parameters"] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_extreme_activations_stay_finite(features):
    subject = network(random_parameters() * 1e6)
    subject.learn_one(features, np.array([0.0, 1.0, 0.0]))
    assert np.isfinite(subject.arrays()["parameters"]).all()
    assert np.isfinite(subject.predict_one(features)).all()


def test_logit():
    assert logit(0.5) == 0.0
    assert logit(0.8) == pytest.approx(math.log(4.0))


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({}, "arrays"),
        ({"w": np.zeros(2), "x": np.zeros(2)}, "arrays"),
        ({"w": np.zeros(3)}, "expected float64"),
        ({"w": np.zeros(2, dtype=np.float32)}, "expected float64"),
        ({"w": np.array([0.0, np.inf])}, "w is not finite"),
    ],
)
def test_bad_arrays_are_refused_by_name(arrays, complaint):
    with pytest.raises(InvalidSnapshotError, match=complaint):
        checked_arrays(arrays, {"w": (2,)})
