"""Step coefficients of one device, fitted to all windows of a run: non-negative least squares, residuals.

The service learns them online; this fit looks at a whole run at once and serves to judge the step law itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.core.calibration import COEFFICIENTS, step_features
from services.core.energy_ledger import Reading
from services.core.nnls import nonnegative_least_squares
from services.energy.reports import ReportedStep

NAMES = ("J/prompt token", "J/prompt token and token of context", "J/token", "J/token of context", "J/step")
_RIDGE = 1e-9
_SECONDS_PER_NANOSECOND = 1e-9
_JOULES_PER_MICROJOULE = 1e-6


@dataclass(frozen=True)
class StepFit:
    """What the affine step law makes of a run."""

    coefficients: NDArray[np.float64]
    """alpha, alpha2, beta, kappa, F, in J; shape (5,)."""
    median_residual: float
    """Median of |window - law| / window, over windows with work all the time."""
    windows: int


def fit_steps(
    readings: Sequence[Reading], steps: Sequence[ReportedStep], idle_watts: float
) -> StepFit | None:
    """Fits the energy above idle of the windows between readings; None without a window full of work."""
    times = np.array([r.monotonic_nanoseconds for r in readings], dtype=np.float64)
    joules = np.diff([r.cumulative_microjoules for r in readings]) * _JOULES_PER_MICROJOULE
    work, busy = _work_until(times, steps)
    features, seconds = np.diff(work, axis=0), np.diff(times) * _SECONDS_PER_NANOSECOND
    is_known = ~np.array([r.follows_gap for r in readings[1:]], dtype=bool)
    full = (np.diff(busy) > 0.9 * np.diff(times)) & is_known & (joules > 0)
    if not full.any():
        return None
    above = joules[full] - idle_watts * seconds[full]
    coefficients = _non_negative(features[full] / joules[full, None], above / joules[full])
    residuals = np.abs(above - features[full] @ coefficients) / joules[full]
    return StepFit(coefficients, float(np.median(residuals)), int(full.sum()))


def _work_until(
    times: NDArray[np.float64], steps: Sequence[ReportedStep]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features done and nanoseconds worked by each time; within a step both grow evenly."""
    edges = np.array([[s.start_nanoseconds, s.end_nanoseconds] for s in steps], dtype=np.float64)
    done = np.cumsum(step_features([step.work for step in steps])[:, :COEFFICIENTS], axis=0)
    columns = [_interpolated(times, edges, done[:, i]) for i in range(len(NAMES))]
    return np.stack(columns, axis=1), _interpolated(times, edges, np.cumsum(edges[:, 1] - edges[:, 0]))


def _interpolated(
    times: NDArray[np.float64], edges: NDArray[np.float64], done: NDArray[np.float64]
) -> NDArray[np.float64]:
    before = np.concatenate([[0.0], done[:-1]])
    return np.interp(times, edges.ravel(), np.stack([before, done], axis=1).ravel())


def _non_negative(features: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """argmin |features x - wanted| with x >= 0; of what the run cannot tell apart, about the least."""
    scale = np.linalg.norm(features, axis=0)
    scale[scale == 0] = 1.0
    scaled = features / scale
    gram = scaled.T @ scaled + _RIDGE * np.eye(len(scale))
    result: NDArray[np.float64] = nonnegative_least_squares(gram, scaled.T @ wanted) / scale
    return result
