"""Orders, label regimes and priors: what they promise, and that a seed repeats them."""

import itertools
from collections import Counter

import numpy as np
import pytest

from planner.replay.labels import draw_judging, parse_labels
from planner.replay.priors import PriorKind, hindsight_priors, make_priors
from planner.replay.streams import Order, make_stream
from services.core.events import AUDIT
from tests.unit.replay_data import outcomes

MANY = 4000


@pytest.mark.parametrize("order", list(Order))
def test_a_stream_is_every_request_once_and_repeats_with_its_seed(order: Order) -> None:
    data = outcomes(60)
    first, again, other = (make_stream(data, order, seed) for seed in (3, 3, 4))
    assert sorted(first.indices.tolist()) == list(range(60))
    np.testing.assert_array_equal(first.indices, again.indices)
    np.testing.assert_array_equal(first.satisfaction, again.satisfaction)
    assert first.indices.tolist() != other.indices.tolist()


def test_sorted_brings_one_topic_after_the_other() -> None:
    data = outcomes(60)
    topics = [data.benchmarks[i] for i in make_stream(data, Order.SORTED, 0).indices]
    changes = sum(a != b for a, b in itertools.pairwise(topics))
    assert changes == 1
    firsts = {data.benchmarks[make_stream(data, Order.SORTED, seed).indices[0]] for seed in range(8)}
    assert firsts == {"easy", "hard"}


def test_drift_takes_right_answers_of_the_cheapest_and_adds_joules_to_the_dearest() -> None:
    data = outcomes(MANY)
    plain, drifted = (make_stream(data, order, 1) for order in (Order.RANDOM, Order.DRIFT))
    np.testing.assert_array_equal(plain.indices, drifted.indices)
    half = MANY // 2
    np.testing.assert_array_equal(plain.satisfaction[:half], drifted.satisfaction[:half])
    np.testing.assert_array_equal(plain.energy_joules[:half], drifted.energy_joules[:half])
    np.testing.assert_array_equal(plain.satisfaction[half:, 1:], drifted.satisfaction[half:, 1:])
    np.testing.assert_array_equal(plain.energy_joules[half:, :2], drifted.energy_joules[half:, :2])
    np.testing.assert_allclose(drifted.energy_joules[half:, 2], 1.5 * plain.energy_joules[half:, 2])
    right, still = plain.satisfaction[half:, 0] == 1.0, drifted.satisfaction[half:, 0] == 1.0
    assert not still[~right].any()
    assert 1.0 - still[right].mean() == pytest.approx(0.3, abs=0.05)
    assert data.satisfaction.sum() == outcomes(MANY).satisfaction.sum(), "the data itself must not drift"


@pytest.mark.parametrize(
    ("text", "satisfied", "dissatisfied"),
    [("full", 1.0, 1.0), ("delayed:200", 1.0, 1.0), ("partial:0.2", 0.2, 0.2), ("biased:3", 0.2, 0.6)],
)
def test_how_many_users_answer(text: str, satisfied: float, dissatisfied: float) -> None:
    judging = draw_judging(parse_labels(text), MANY, 0)
    for satisfaction, share in ((1.0, satisfied), (0.0, dissatisfied)):
        sources = Counter(judging.source(request, satisfaction) for request in range(MANY))
        assert sources["user"] / MANY == pytest.approx(share, abs=0.03)
        assert AUDIT not in sources


def test_an_audit_does_not_look_at_the_answer() -> None:
    judging = draw_judging(parse_labels("biased:3+audit:0.02"), MANY, 0)
    audited = [[judging.source(r, y) == AUDIT for r in range(MANY)] for y in (0.0, 1.0)]
    assert audited[0] == audited[1]
    assert sum(audited[0]) / MANY == pytest.approx(0.02, abs=0.01)


def test_only_full_labels_are_known_at_once() -> None:
    texts = ("full", "partial:1", "delayed:0", "partial:0.5", "delayed:1", "biased:3")
    assert [parse_labels(text).at_once for text in texts] == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "partly",
        "partial",
        "partial:0",
        "partial:1.5",
        "delayed:1.5",
        "delayed:-1",
        "biased:0.5",
        "biased:0",
    ],
)
def test_other_regimes_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"partial:SHARE, delayed:REQUESTS, biased:RATIO"):
        parse_labels(text)


def test_a_rough_prior_is_ten_points_off_and_knows_joules_per_token() -> None:
    data = outcomes(400)
    priors = make_priors(data, PriorKind.ROUGH, 0)
    means = data.satisfaction.mean(axis=0)
    errors = [abs((prior.satisfaction or 0.0) - mean) for prior, mean in zip(priors, means, strict=True)]
    assert errors == pytest.approx([0.1, 0.1, 0.1])
    assert [prior.energy_joules for prior in priors] == pytest.approx([300.0, 900.0, 3000.0])
    assert len({make_priors(data, PriorKind.ROUGH, seed) for seed in range(20)}) > 4


def test_no_prior_believes_nothing_and_hindsight_knows_the_averages() -> None:
    data = outcomes(50)
    assert all(
        p.satisfaction is None and p.energy_joules is None for p in make_priors(data, PriorKind.NONE, 0)
    )
    stream = make_stream(data, Order.DRIFT, 0)
    known = hindsight_priors(data, stream)
    assert [prior.satisfaction for prior in known] == stream.satisfaction.mean(axis=0).tolist()
    assert [prior.energy_joules for prior in known] == stream.energy_joules.mean(axis=0).tolist()
