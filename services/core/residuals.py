"""How far windows are from what the coefficients expect, told apart by what that means for requests."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Residuals"]

_BLOCK_WINDOWS = 10
_MEMORY_WINDOWS = 2_000


@dataclass(slots=True)
class Residuals:
    """Fading means over windows; all J**2.

    Where a window seems to end is not quite where the counter was updated, so what one window has too much
    the next has too little: that shows as a negative product of neighbours, and evens out over a request.
    What is left deviates in earnest, more so if it lasts over blocks of windows.
    """

    squares: float = 0.0
    neighbours: float = 0.0
    expected_squares: float = 0.0
    block_squares: float = 0.0
    block_expected_squares: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether any windows were seen."""
        return self.expected_squares > 0

    @property
    def edge_joules(self) -> float:
        """Standard deviation of the energy that a window's edge moves to its neighbour, J."""
        return math.sqrt(max(0.0, -self.neighbours))

    @property
    def window_ratio(self) -> float:
        """Standard deviation of a window apart from its edges, as a fraction of its energy."""
        return _ratio(self.squares - 2 * self.edge_joules**2, self.expected_squares)

    @property
    def law_ratio(self) -> float:
        """Standard deviation that lasts: of windows apart from edges or of whole blocks, the larger one."""
        return max(self.window_ratio, _ratio(self.block_squares, self.block_expected_squares))

    @property
    def block_variance(self) -> float:
        """Relative variance of a window as far as it does not even out over a block, times the block."""
        return _BLOCK_WINDOWS * _ratio(self.block_squares, self.block_expected_squares) ** 2

    @property
    def total_ratio(self) -> float:
        """Root mean square error of a window's expected energy, as a fraction of it."""
        return _ratio(self.squares, self.expected_squares)

    def add(self, measured: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
        """Takes windows in order of time, J; older ones fade."""
        errors = measured - expected
        n = len(errors) // _BLOCK_WINDOWS * _BLOCK_WINDOWS
        if not n:
            return
        kept = math.exp(-len(errors) / _MEMORY_WINDOWS) if self.squares else 0.0
        block_errors, block_expected = (
            v[:n].reshape(-1, _BLOCK_WINDOWS).sum(axis=1) for v in (errors, expected)
        )
        self.squares += (1 - kept) * (float(np.mean(errors**2)) - self.squares)
        self.neighbours += (1 - kept) * (float(np.mean(errors[1:] * errors[:-1])) - self.neighbours)
        self.expected_squares += (1 - kept) * (float(np.mean(expected**2)) - self.expected_squares)
        self.block_squares += (1 - kept) * (float(np.mean(block_errors**2)) - self.block_squares)
        self.block_expected_squares += (1 - kept) * (
            float(np.mean(block_expected**2)) - self.block_expected_squares
        )

    def to_state(self) -> dict[str, float]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Residuals":
        """Inverse of `to_state`. Raises ValueError, KeyError or TypeError for what it never wrote."""
        residuals = cls(**{name: float(value) for name, value in state.items()})
        if not all(math.isfinite(value) for value in asdict(residuals).values()):
            raise ValueError(f"residuals are {state}, must be finite")
        return residuals


def _ratio(squares: float, expected_squares: float) -> float:
    return math.sqrt(max(0.0, squares) / expected_squares) if expected_squares > 0 else 0.0
