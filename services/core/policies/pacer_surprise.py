"""Whether labels lately contradict what `pacer` believes: then it must forget faster.

A long stretch of bad labels makes the heads certain of something that is over once the stretch ends. A
fading mean of (label - expected) shows both ends of it; by chance it leaves its bounds about once in
ten thousand labels.
"""

import math
from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray

_RATE = 0.03
_BOUND_SDS = 4.0


@dataclass(slots=True)
class Surprise:
    """A fading mean of what labels are beyond their expectation.

    Attributes:
        residual: fading mean of (label - expected).
        variance: fading mean of expected * (1 - expected), the most that chance explains.

    """

    residual: float = 0.0
    variance: float = 0.25

    def add(self, residual: float, variance: float) -> bool:
        """One label; whether chance does not explain the newest ones."""
        self.residual += _RATE * (residual - self.residual)
        self.variance += _RATE * (variance - self.variance)
        by_chance = math.sqrt(self.variance * _RATE / (2.0 - _RATE))
        return abs(self.residual) > _BOUND_SDS * by_chance

    def array(self) -> FloatArray:
        """Complete, shape (2,)."""
        return np.array([self.residual, self.variance])
