"""Non-negative least squares against cases by hand and against its optimality conditions."""

import numpy as np
import pytest

from services.core.nnls import nonnegative_least_squares


def solve(rows: list[list[float]], measured: list[float]) -> list[float]:
    a, y = np.array(rows), np.array(measured)
    return [round(float(c), 9) for c in nonnegative_least_squares(a.T @ a, a.T @ y)]


def test_cases_by_hand() -> None:
    assert solve([[1, 0], [0, 1]], [3, 4]) == [3, 4]
    assert solve([[1, 0], [0, 1]], [3, -4]) == [3, 0]
    assert solve([[1, 0], [0, 1]], [-3, -4]) == [0, 0]
    # Unconstrained, y = -1 + 2x; with both >= 0 the slope alone explains (1, 1), (2, 3): 7 / 5.
    assert solve([[1, 1], [1, 2]], [1, 3]) == [0, 1.4]


@pytest.mark.parametrize("seed", range(50))
def test_no_change_of_any_coefficient_would_fit_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    a = random.normal(size=(30, 6)) * random.uniform(0.1, 10, 6)
    y = a @ random.normal(size=6) + random.normal(size=30)
    gram, moment = a.T @ a, a.T @ y
    solution = nonnegative_least_squares(gram, moment)
    slope = (gram @ solution - moment) / np.abs(moment).max()
    assert (solution >= 0).all()
    assert (slope >= -1e-8).all()
    assert np.abs(slope[solution > 0]).max(initial=0.0) < 1e-8


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        nonnegative_least_squares(np.eye(2), np.array([1.0, np.nan]))
