"""How far the joules of a request may be off, from how far windows were off while it ran."""

import math
from dataclasses import dataclass

from services.core.calibration import StepCalibration
from services.core.residuals import Residuals

__all__ = ["Exposure", "half_width_joules"]

_COVERAGE = 1.2
"""Half-width of the 95 % interval over the standard deviation below, as `python -m bench.attribution` finds."""


@dataclass(slots=True)
class Exposure:
    """What a generation on one meter was exposed to, window by window.

    Three errors, as standard deviations: a window's edge is misplaced, which costs it as much as its fraction
    of the window changes there; the window itself deviates; and the law does, which matters only next to
    others, for whoever is alone in a window pays for it whatever it costs.
    """

    fraction: float = 0.0
    """Its part of the last window's energy, 0 to 1."""
    edge_joules_squared: float = 0.0
    window_joules_squared: float = 0.0
    law_joules: float = 0.0

    def add(self, joules: float, window_joules: float, calibration: StepCalibration) -> None:
        """Takes its part of a window whose energy (less the idle) is `window_joules`."""
        residuals = calibration.residuals
        fraction = joules / window_joules if window_joules > 0 else 0.0
        self.edge_joules_squared += (residuals.edge_joules * (fraction - self.fraction)) ** 2
        self.window_joules_squared += (residuals.window_ratio * joules) ** 2
        self.law_joules += calibration.doubt * joules * (1 - fraction)
        self.fraction = fraction

    def variance(self, residuals: Residuals) -> float:
        """J**2, its last edge included."""
        edges = self.edge_joules_squared + (residuals.edge_joules * self.fraction) ** 2
        return edges + self.window_joules_squared + self.law_joules**2


def half_width_joules(variance: float) -> float:
    """Half-width of the 95 % interval, J, of variances (J**2) added over meters."""
    return _COVERAGE * math.sqrt(variance)
