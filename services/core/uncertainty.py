"""How far the joules of a request may be off, from how far windows were off while it ran."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.core.calibration import StepCalibration

__all__ = ["Doubt", "Exposure", "expose", "half_width_joules"]

Array = NDArray[np.float64]

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
    """What a generation was exposed to on one meter, all windows so far.

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

    def variance(self) -> float:
        """J**2, the end of its last window included."""
        last = (self.edge_joules * self.fraction) ** 2
        noise = (_COUNTER_DEVIATION * self.joules) ** 2
        return self.edges_joules_squared + last + self.disputed_joules**2 + noise


def expose(
    exposures: Sequence[Exposure], doubts: Sequence[Doubt], joules: Array, window_joules: Array
) -> None:
    """Adds windows in the order of time, (windows,) J each less the idle, to what generations are exposed to.

    `joules` (windows, exposures) are their parts of it, of one or more; `doubts` is one for each.
    """
    fractions = np.divide(joules, window_joules[:, None], out=np.zeros_like(joules), where=joules > 0)
    before = np.concatenate([[[exposure.fraction for exposure in exposures]], fractions[:-1]])
    moved_squared = ((fractions - before) ** 2).sum(axis=0)
    next_to_others = (joules * (1 - fractions)).sum(axis=0)
    columns = (joules.sum(axis=0), fractions[-1], moved_squared, next_to_others)
    rows = zip(exposures, doubts, *(column.tolist() for column in columns), strict=True)
    for exposure, doubt, own, fraction, moved, disputed in rows:
        exposure.joules += own
        exposure.fraction, exposure.edge_joules = fraction, doubt.edge_joules
        exposure.edges_joules_squared += doubt.edge_joules**2 * moved
        exposure.disputed_joules += doubt.costs_fraction * disputed


def half_width_joules(variance: float) -> float:
    """Half-width of the 95 % interval, J, of variances (J**2) added over meters."""
    return _COVERAGE * math.sqrt(variance)
