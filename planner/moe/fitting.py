"""Fits a law to runs: Huber loss on ln L, L-BFGS from a grid of starts, bootstrap (Hoffmann et al. 2022)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from planner.moe.allocation import loss_optimal
from planner.moe.fit_starts import starts, transform
from planner.moe.forms import Form
from planner.moe.laws import Fitted, Law
from planner.moe.runs import TrainingRuns, check_variety
from services.core.events import FloatArray

HUBER_DELTA = 1e-3
"""Residual of ln L from which on the Huber loss grows linearly (Yun et al. 2024)."""
_COARSE_DELTA = 0.1
"""The first pass is nearly least squares: the sharp loss alone has flat valleys far from the optimum."""
_REFINED_STARTS, _COARSE_ITERATIONS, _RESAMPLE_ITERATIONS = 2, 80, 300
_STEP = 1e-5
_LOG_BOUND, _BOUND = 60.0, 20.0
_E_START, _E_MAX = (np.log(1.001), np.log(31.0)), (np.log(32.0), np.log(1e4))
INTERVAL = (0.05, 0.95)
"""Quantiles of the bootstrap that make an interval."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted law and how sure it is."""

    law: Law
    rmsle: float
    """Root mean square of the residuals of ln L."""
    huber: float
    """Mean Huber loss of the residuals."""
    intervals: dict[str, tuple[float, float]]
    """90 % bootstrap interval of each coefficient."""
    resampled: tuple[Law, ...]
    """The law fitted to each resample, for intervals of whatever is computed from it."""
    notes: tuple[str, ...]


def fit_law(
    runs: TrainingRuns,
    form: Form,
    *,
    resamples: int = 100,
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> Fit:
    """Fits `form`; `on_step` is called once per start and resample.

    Raises ConfigError where the runs are too few or too much alike.
    """
    check_variety(runs, len(form.coefficients), experts_vary=not form.experts)
    best = _from_grid(runs, form, on_step)
    residuals = _residuals(form, best, runs)
    rng = np.random.default_rng(seed)
    laws = []
    for _ in range(resamples):
        rows = rng.integers(0, len(runs), len(runs))
        laws.append(
            _law(form, _minimised(runs.chosen(rows), form, best, HUBER_DELTA, _RESAMPLE_ITERATIONS)[0], runs)
        )
        on_step()
    law = _law(form, best, runs)
    return Fit(
        law,
        float(np.sqrt(np.mean(residuals**2))),
        float(np.mean(_huber(residuals, HUBER_DELTA)[0])),
        {name: _interval([found.coefficients[name] for found in laws]) for name in law.coefficients}
        if laws
        else {},
        tuple(laws),
        (*runs.notes, *_at_bounds(law)),
    )


def optimum_interval(fit: Fit, budget_flops: float, experts: int) -> tuple[float, float] | None:
    """90 % bootstrap interval of the loss-optimal N at a budget; None without resamples."""
    found = [loss_optimal(law, budget_flops, experts).params for law in fit.resampled]
    return _interval(found) if found else None


def grid_size(form: Form, runs: TrainingRuns) -> int:
    """How many starts a fit goes from."""
    return sum(1 for _ in starts(form, runs))


def _from_grid(runs: TrainingRuns, form: Form, on_step: Callable[[], None]) -> FloatArray:
    """The best plain coefficients over all starts; only the few best starts are refined."""
    coarse = []
    for start in starts(form, runs):
        coarse.append(_minimised(runs, form, start, _COARSE_DELTA, _COARSE_ITERATIONS))
        on_step()
    coarse.sort(key=lambda found: found[1])
    fine = [_minimised(runs, form, found[0], HUBER_DELTA) for found in coarse[:_REFINED_STARTS]]
    return min(fine, key=lambda found: found[1])[0]


def _minimised(
    runs: TrainingRuns, form: Form, start: FloatArray, delta: float, iterations: int = 1000
) -> tuple[FloatArray, float]:
    """Plain coefficients (logarithms where positive) from such a start, and the mean loss there."""
    matrix = transform(form, runs)
    back = np.linalg.inv(matrix)

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        values, slopes = _with_gradient(form, back @ point, runs)
        losses, weights = _huber(values - np.log(runs.loss), delta)
        # Scaled to one where residuals are as large as delta, or the optimiser stops early.
        return float(losses.mean()) / delta**2, back.T @ (slopes @ weights) / (len(runs) * delta**2)

    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 30}
    found = minimize(
        objective, matrix @ start, jac=True, method="L-BFGS-B", bounds=_bounds(form), options=options
    )
    return back @ found.x, float(found.fun) * delta**2


def _with_gradient(form: Form, plain: FloatArray, runs: TrainingRuns) -> tuple[FloatArray, FloatArray]:
    """ln L of every run, shape (n,), and its derivatives by every coefficient, (k, n), by central steps."""
    step = _STEP * np.eye(len(plain))
    points = plain + np.vstack([np.zeros(len(plain)), step, -step])
    values = form.log_loss(_named(form, points.T[:, :, None]), runs.params, runs.tokens, runs.experts)
    ahead, behind = values[1 : len(plain) + 1], values[len(plain) + 1 :]
    return values[0], (ahead - behind) / (2.0 * _STEP)


def _named(form: Form, plain: FloatArray) -> dict[str, FloatArray]:
    """Coefficients by name from their plain values along the first axis."""
    return {
        name: np.exp(value) if name in form.positive else value
        for name, value in zip(form.coefficients, plain, strict=True)
    }


def _residuals(form: Form, plain: FloatArray, runs: TrainingRuns) -> FloatArray:
    values = form.log_loss(_named(form, plain), runs.params, runs.tokens, runs.experts)
    residuals: FloatArray = values - np.log(runs.loss)
    return residuals


def _huber(residuals: FloatArray, delta: float) -> tuple[FloatArray, FloatArray]:
    """The Huber loss of each residual, and its derivative."""
    clipped = np.clip(residuals, -delta, delta)
    return clipped * residuals - 0.5 * clipped**2, clipped


def _bounds(form: Form) -> list[tuple[float, float]]:
    special = {"e_start": _E_START, "e_max": _E_MAX}
    return [
        special.get(name, (-_LOG_BOUND, _LOG_BOUND) if name in form.positive else (-_BOUND, _BOUND))
        for name in form.coefficients
    ]


def _law(form: Form, plain: FloatArray, runs: TrainingRuns) -> Law:
    spans = [(float(v.min()), float(v.max())) for v in (runs.params, runs.tokens, runs.experts)]
    coefficients = {name: float(value) for name, value in _named(form, plain).items()}
    source = f"fitted to {len(runs)} runs of {runs.place}"
    return Law(f"{form.name}-fitted", form, coefficients, Fitted(*spans), source)


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, INTERVAL)
    return float(low), float(high)


def _at_bounds(law: Law) -> tuple[str, ...]:
    """What the runs do not determine: E_start or E_max at an end of what the fit allows."""
    ends = {"e_start": np.exp(_E_START), "e_max": np.exp(_E_MAX)}
    return tuple(
        f"{name} ended at the bound {law.coefficients[name]:.4g}: these runs do not determine it."
        for name, bounds in ends.items()
        if name in law.coefficients and np.isclose(law.coefficients[name], bounds, rtol=1e-6).any()
    )
