"""How far the joules of a request may be off, from how far windows were off while it ran."""

import math
from dataclasses import dataclass

from services.core.calibration import StepCalibration

__all__ = ["Exposure", "half_width_joules"]

_COUNTER_DEVIATION = 0.004
"""What a counter's own noise leaves over a request, as a fraction; not what it is off by as a whole."""
_COVERAGE = 1.85
"""Half-width of the 95 % interval in standard deviations as added up here: `python -m bench.attribution`."""


@dataclass(slots=True)
class Exposure:
    """What a generation was exposed to on one meter, window by window.

    A window's edge is misplaced: that costs it as much as its fraction of the energy changes there. And the
    costs that tell requests apart are off: that matters next to others only, for whoever is alone in a window
    pays for it whatever it costs. The first errors are independent, the second all of a kind.
    """

    joules: float = 0.0
    fraction: float = 0.0
    """Its part of the last window's energy, 0 to 1."""
    edges_joules_squared: float = 0.0
    disputed_joules: float = 0.0

    def add(self, joules: float, window_joules: float, calibration: StepCalibration) -> None:
        """Takes its part of a window whose energy, less the idle, is `window_joules`."""
        fraction = joules / window_joules if window_joules > 0 else 0.0
        self.edges_joules_squared += (calibration.residuals.edge_joules * (fraction - self.fraction)) ** 2
        self.disputed_joules += calibration.doubt * joules * (1 - fraction)
        self.joules += joules
        self.fraction = fraction

    def variance(self, calibration: StepCalibration) -> float:
        """J**2, the end of its last window included."""
        last = (calibration.residuals.edge_joules * self.fraction) ** 2
        noise = (_COUNTER_DEVIATION * self.joules) ** 2
        return self.edges_joules_squared + last + self.disputed_joules**2 + noise


def half_width_joules(variance: float) -> float:
    """Half-width of the 95 % interval, J, of variances (J**2) added over meters."""
    return _COVERAGE * math.sqrt(variance)
