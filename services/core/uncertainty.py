"""How far the joules of a request may be off, from how far windows were off while it ran."""

import math
from dataclasses import dataclass

from services.core.calibration import StepCalibration

__all__ = ["Doubt", "Exposure", "half_width_joules"]

_COUNTER_DEVIATION = 0.004
"""What a counter's own noise leaves over a request, as a fraction; not what it is off by as a whole."""
_COVERAGE = 1.85
"""Half-width of the 95 % interval in standard deviations as added up here: `python -m bench.attribution`."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may be wrong with the windows of a model at a time."""

    edge_joules: float
    """Standard deviation of the energy that a window's edge moves to its neighbour, J."""
    costs_fraction: float
    """How far costs that tell requests apart may be off, as a fraction of the energy of all."""

    @classmethod
    def of(cls, calibration: StepCalibration) -> "Doubt | None":
        """As far as a calibration knows; None where it knows nothing."""
        if not calibration.residuals.is_known:
            return None
        return cls(calibration.residuals.edge_joules, calibration.doubt)


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
    edge_joules: float = 0.0
    """Of the last window."""
    edges_joules_squared: float = 0.0
    disputed_joules: float = 0.0

    def add(self, joules: float, window_joules: float, doubt: Doubt) -> None:
        """Takes its part of a window whose energy, less the idle, is `window_joules`."""
        fraction = joules / window_joules if window_joules > 0 else 0.0
        moved = doubt.edge_joules * (fraction - self.fraction)
        self.edges_joules_squared += moved * moved
        self.disputed_joules += doubt.costs_fraction * joules * (1 - fraction)
        self.joules += joules
        self.fraction, self.edge_joules = fraction, doubt.edge_joules

    def variance(self) -> float:
        """J**2, the end of its last window included."""
        last = (self.edge_joules * self.fraction) ** 2
        noise = (_COUNTER_DEVIATION * self.joules) ** 2
        return self.edges_joules_squared + last + self.disputed_joules**2 + noise


def half_width_joules(variance: float) -> float:
    """Half-width of the 95 % interval, J, of variances (J**2) added over meters."""
    return _COVERAGE * math.sqrt(variance)
