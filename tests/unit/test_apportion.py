"""Largest remainders: whole parts that add up, each within one of its exact value, whatever the order."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.apportion import apportion

whole_weights = st.lists(st.integers(0, 2**43), min_size=1, max_size=200).filter(any)


def split(total: int, weights: list[int]) -> list[int]:
    return apportion(total, np.array(weights, dtype=float), lambda place: ("", place)).tolist()


@given(st.one_of(st.integers(0, 10**9), st.integers(0, 10**17)), whole_weights)
def test_parts_add_up_and_stay_within_one_of_the_exact_part(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1 + 1e-9
        assert part >= 0


@given(st.integers(0, 10**17), whole_weights, st.randoms())
def test_the_order_does_not_matter(total: int, weights: list[int], random: object) -> None:
    order = list(range(len(weights)))
    random.shuffle(order)  # type: ignore[attr-defined]
    numbers = np.array([weights[place] for place in order], dtype=float)
    shuffled = apportion(total, numbers, lambda place: ("", order[place])).tolist()
    before = split(total, weights)
    assert shuffled == [before[place] for place in order]


def test_ties_go_to_the_smaller_rank() -> None:
    names = ["c", "a", "b"]
    parts = apportion(5, np.array([1.0, 1.0, 1.0]), lambda place: (names[place], 0)).tolist()
    assert dict(zip(names, parts, strict=True)) == {"a": 2, "b": 2, "c": 1}


@pytest.mark.parametrize("total", [7, 10**16 + 7])
def test_small_and_large_totals_are_split_alike(total: int) -> None:
    # 4, 2 and 1 sevenths: floating point for the first, whole numbers for the second.
    assert split(total, [4, 2, 1]) == pytest.approx([total * 4 / 7, total * 2 / 7, total / 7], abs=1)
    assert sum(split(total, [4, 2, 1])) == total
