"""Largest remainders: whole parts that add up, each within one of its exact value, odd ones first."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.apportion import apportion

whole_weights = st.lists(st.integers(0, 2**43), min_size=1, max_size=200).filter(any)


def split(total: int, weights: list[int]) -> list[int]:
    (parts,) = apportion(np.array([total]), np.array([weights], dtype=float)).tolist()
    return parts


@given(st.one_of(st.integers(0, 10**9), st.integers(0, 10**17)), whole_weights)
def test_parts_add_up_and_stay_within_one_of_the_exact_part(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1 + 1e-9
        assert part >= 0


@given(st.integers(0, 10**17), whole_weights)
def test_equal_weights_get_the_same_but_for_one_that_earlier_ones_get(total: int, weights: list[int]) -> None:
    parts = dict[int, list[int]]()
    for weight, part in zip(weights, split(total, weights), strict=True):
        parts.setdefault(weight, []).append(part)
    for equals in parts.values():
        assert equals == sorted(equals, reverse=True)
        assert equals[0] - equals[-1] <= 1


@pytest.mark.parametrize("total", [7, 10**16 + 7])
def test_small_and_large_totals_are_split_alike(total: int) -> None:
    # 4, 2 and 1 sevenths: floating point for the first, whole numbers for the second.
    assert split(total, [4, 2, 1]) == pytest.approx([total * 4 / 7, total * 2 / 7, total / 7], abs=1)
    assert sum(split(total, [4, 2, 1])) == total


def test_each_row_has_its_own_total() -> None:
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 1.0], [5.0, 0.0, 0.0]])
    assert apportion(np.array([5, 6, 0]), weights).tolist() == [[2, 2, 1], [0, 5, 1], [0, 0, 0]]
