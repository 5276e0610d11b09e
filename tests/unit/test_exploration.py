import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.exploration import DecisionRandom, decision_seed, exploration_probability


@pytest.mark.parametrize(
    ("scale", "step", "root", "probability"),
    [(3.0, 1, 3, 1.0), (3.0, 216, 3, 0.5), (0.1, 1, 4, 0.1), (0.1, 10_000, 4, 0.01), (0.0, 5, 4, 0.0)],
)
def test_probability(scale, step, root, probability):
    assert exploration_probability(scale, step, root) == pytest.approx(probability)


def test_first_numbers_are_those_of_splitmix64():
    # Outputs of the reference implementation for seed 0: e220a8397b1dcdaf, 6e789e6aa1b965f4.
    rng = DecisionRandom(0)
    assert rng.random() == (0xE220A8397B1DCDAF >> 11) / 2**53
    assert rng.random() == (0x6E789E6AA1B965F4 >> 11) / 2**53


@given(st.integers(0, 2**64 - 1))
def test_a_seed_always_gives_the_same_numbers(seed):
    first, second = DecisionRandom(seed), DecisionRandom(seed)
    assert [first.random() for _ in range(3)] == [second.random() for _ in range(3)]
    assert 0.0 <= first.random() < 1.0


def test_numbers_of_neighbouring_requests_are_uniform_and_unrelated():
    draws = np.array([DecisionRandom(decision_seed("zoo", f"r{i}")).random() for i in range(4000)])
    counts, _ = np.histogram(draws, bins=20, range=(0.0, 1.0))
    assert ((counts - 200.0) ** 2 / 200.0).sum() < 43.8  # chi-square, 19 degrees of freedom, p = .001
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.05


def test_seeds_depend_on_zoo_and_request_as_separate_texts():
    assert decision_seed("zoo", "r1") == decision_seed("zoo", "r1")
    assert len({decision_seed("a", "bc"), decision_seed("ab", "c"), decision_seed("a", "bd")}) == 3
    assert 0 <= decision_seed("zoo", "ü\ud800") < 2**64
