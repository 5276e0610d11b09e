"""Learns what a step costs from the windows of a counter: the coefficients that attribution weighs with.

What a window took above the idle power is linear in what its steps did, so the coefficients are a least
squares problem over windows. Kept are only its normal equations, which fade slowly: an update is cheap, and
what is learned follows the device. Three things make the result safe to use:

* No coefficient is negative (`nonnegative_least_squares`).
* Real steps are not quite affine in the batch. Left alone, that bends the marginal costs, that of context
  most. So a deviation that is piecewise linear in the tokens a step decodes is fitted along and then left
  out: it is marginalised, under the prior that it is a few percent.
* Every coefficient is drawn towards its prior as if that were right to within 100 %, so what the traffic
  cannot tell apart stays as it was. Of the prior only the ratios count; its scale is taken from the data.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.energy_model import StepLaw
from services.core.nnls import nonnegative_least_squares
from services.core.residuals import Residuals
from services.core.steps import StepCoefficients, StepWork

__all__ = ["COEFFICIENTS", "FEATURES", "MIN_WINDOWS", "StepCalibration", "step_features"]

Array = NDArray[np.float64]

_NO_TOKENS = np.empty((0, 3))
_KNOTS = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0])
COEFFICIENTS = 5
"""alpha, alpha2, beta, kappa, F."""
FEATURES = COEFFICIENTS + len(_KNOTS)
"""Length of a row of features: what the five coefficients multiply, then the hat functions of the batch."""
F_FEATURE = 4
"""Which feature counts steps."""
LEAST_STEPS = 1e-6
"""Fraction of a step in a window that makes it busy."""
MEMORY_WINDOWS = 20_000
"""Windows after which an observation counts 1/e."""
MIN_WINDOWS = 256
"""Windows that a fit needs where a counter has noise and lag."""
_WINDOW_DEVIATION = 0.05
_PRIOR_DEVIATION = 1.0
_BEND_DEVIATION = 0.05
_LEAST_EXPECTED = 0.1
_LAW_SENSITIVITY = 0.2
"""How much of a lasting misfit changes who pays: most of it scales everyone's weight alike."""
_MISFIT_INFLATION = 1.5
"""What the law leaves out pulls at the costs too, which the standard error does not know."""
_OWN, _HATS = slice(0, COEFFICIENTS), slice(COEFFICIENTS, FEATURES)


def step_features(works: Sequence[StepWork]) -> Array:
    """What the coefficients multiply in each step: (steps, FEATURES).

    These are sums of p, p*x, d and x; 1; then the hats of the batch.
    """
    sizes = np.array([len(work) for work in works], dtype=int)
    prefill, decode, context = np.concatenate([_NO_TOKENS, *(work.tokens for work in works)]).T
    step_of = np.arange(len(works)).repeat(sizes)
    features = np.ones((len(works), FEATURES))
    for feature, column in enumerate((prefill, prefill * context, decode, context)):
        features[:, feature] = np.bincount(step_of, column, len(works))
    features[:, _HATS] = _hats(features[:, 2])
    return features


def _hats(decoded: Array) -> Array:
    """Weights of the two knots around, which interpolate linearly; beyond the last they extrapolate."""
    right = np.searchsorted(_KNOTS, decoded).clip(1, len(_KNOTS) - 1)
    hats = np.zeros((len(decoded), len(_KNOTS)))
    steps = np.arange(len(decoded))
    hats[steps, right] = (decoded - _KNOTS[right - 1]) / (_KNOTS[right] - _KNOTS[right - 1])
    hats[steps, right - 1] = 1.0 - hats[steps, right]
    return hats


@dataclass(slots=True)
class StepCalibration:
    """What is known of one model's costs on one engine and device.

    `conditions` says what they hold for (engine, power limit): under others they are learned anew.
    """

    prior: StepCoefficients
    conditions: str = ""
    windows: int = 0
    """Windows learned from."""
    version: int = 0
    """Rises with each solution; 0: nothing but the prior is known."""
    residuals: Residuals = field(default_factory=Residuals)
    _gram: Array = field(default_factory=lambda: np.zeros((FEATURES, FEATURES)))
    _moment: Array = field(default_factory=lambda: np.zeros(FEATURES))
    _sums: Array = field(default_factory=lambda: np.zeros(FEATURES))
    _joules: float = 0.0
    _solution: Array = field(default_factory=lambda: np.zeros(FEATURES))
    _solved: StepCoefficients | None = None
    _doubt: float = 0.0
    step_seconds: float = 0.0
    """Mean duration of the newest steps; 0 before there was one."""
    least_windows: int = MIN_WINDOWS
    """Windows that a fit needs to replace the prior."""

    @property
    def coefficients(self) -> StepCoefficients:
        """In joules: the last solution, the prior before there is one."""
        return self._solved or self.prior

    @property
    def doubt(self) -> float:
        """How far costs that tell requests apart may be off, as a fraction of the energy of all."""
        return math.hypot(_LAW_SENSITIVITY * self.residuals.law_ratio, _MISFIT_INFLATION * self._doubt)

    @property
    def joules_per_feature(self) -> Array:
        """What windows or steps take above the idle power is their features times this, J (FEATURES,)."""
        if self.version:
            return self._solution
        return np.array([*astuple(self.prior), *np.zeros(len(_KNOTS))])

    def step_law(self, idle_watts: float) -> StepLaw | None:
        """What a step costs and a generated token causes, in today's traffic, J.

        The idle power is part of the step. A token causes its part of its prompt and its context too: that
        is as much on a busy worker as on an idle one. None before there is a solution, or a token.
        """
        own, decoded = self._sums[:F_FEATURE], float(self._sums[2])
        if not self.version or decoded <= 0:
            return None
        caused = float(own @ self._solution[:F_FEATURE]) / decoded
        return StepLaw(self.coefficients.step_joules + idle_watts * self.step_seconds, caused)

    def observe(self, features: Array, joules: Array) -> None:
        """Learns windows in order of time: `features` (n, FEATURES), `joules` (n,) above the idle power.

        Windows are weighted to count by their relative error. Those without a step teach nothing of the
        costs, but where energy next to a busy window went.
        """
        expected = features @ self.joules_per_feature
        if self.version:
            self.residuals.add(joules, expected)
        busy = features[:, F_FEATURE] > LEAST_STEPS
        features, joules, expected = features[busy], joules[busy], expected[busy]
        if not self.version:
            expected = expected * max(0.0, joules.sum()) / max(expected.sum(), np.finfo(float).tiny)
        floor = max(_LEAST_EXPECTED * joules.mean(), np.finfo(float).eps)
        weights = 1.0 / np.maximum(expected, floor) ** 2
        kept = math.exp(-len(joules) / MEMORY_WINDOWS)
        self._gram = kept * self._gram + (features * weights[:, None]).T @ features
        self._moment = kept * self._moment + features.T @ (weights * joules)
        self._sums = kept * self._sums + features.sum(axis=0)
        self._joules = kept * self._joules + float(joules.sum())
        self.windows += len(joules)
        if self.windows >= self.least_windows and self._joules > 0:
            self._solve()

    def forget(self) -> None:
        """What was learned from was wrong: its coefficients hold until as much is learned anew."""
        self.windows, self._joules, self.residuals = 0, 0.0, Residuals()
        self._gram, self._moment, self._sums = 0 * self._gram, 0 * self._moment, 0 * self._sums

    def _solve(self) -> None:
        prior = self._scaled_prior()
        # A coefficient whose prior is 0 may come to explain a tenth of everything.
        scale = np.maximum(prior, 0.1 * self._joules / np.maximum(self._sums[_OWN], 1.0))
        ridge = (_WINDOW_DEVIATION / (_PRIOR_DEVIATION * scale)) ** 2
        law = self._solution if self.version else prior
        bend = _BEND_DEVIATION * np.maximum(law[4] + law[2] * _KNOTS, 1e-3 * scale[4])
        across = self._gram[_OWN, _HATS] @ np.linalg.inv(
            self._gram[_HATS, _HATS] + np.diag((_WINDOW_DEVIATION / bend) ** 2)
        )
        gram = self._gram[_OWN, _OWN] - across @ self._gram[_HATS, _OWN] + np.diag(ridge)
        moment = self._moment[_OWN] - across @ self._moment[_HATS] + ridge * prior
        own = nonnegative_least_squares(gram * np.outer(scale, scale), moment * scale) * scale
        hats = np.linalg.solve(
            self._gram[_HATS, _HATS] + np.diag((_WINDOW_DEVIATION / bend) ** 2),
            self._moment[_HATS] - self._gram[_HATS, _OWN] @ own,
        )
        if self.residuals.is_known:
            self._doubt = self._own_doubt(gram * np.outer(scale, scale), scale)
        self._solution, self._solved = np.concatenate([own, hats]), StepCoefficients(*own.tolist())
        self.version += 1

    def _own_doubt(self, scaled_gram: Array, scale: Array) -> float:
        """Standard error of what is a request's own by prompt and context, as a fraction of all energy.

        Windows deviate for seconds on end (temperature, what the law leaves out), so each counts for as much
        less as blocks of them deviate more than independent ones would.
        """
        variance = np.diag(np.linalg.inv(scaled_gram)) * self.residuals.block_variance
        explained = scale * self._sums[_OWN] / self._joules
        return float(np.sqrt((variance * explained**2)[[0, 3]].sum()))

    def _scaled_prior(self) -> Array:
        """The prior at the scale at which it explains the sum of what was measured."""
        prior = np.array(astuple(self.prior))
        explained = float(self._sums[_OWN] @ prior)
        if explained > 0:
            return prior * (self._joules / explained)
        # Nothing is known of the ratios: a step costs, whatever it does.
        return np.array([0.0, 0.0, 0.0, 0.0, self._joules / max(float(self._sums[4]), 1.0)])

    def to_state(self) -> dict[str, Any]:
        """Everything but the prior, as JSON values."""
        return {
            "conditions": self.conditions,
            "windows": self.windows,
            "version": self.version,
            "residuals": self.residuals.to_state(),
            "gram": self._gram.tolist(),
            "moment": self._moment.tolist(),
            "sums": self._sums.tolist(),
            "joules": self._joules,
            "solution": self._solution.tolist(),
            "doubt": self._doubt,
            "step_seconds": self.step_seconds,
        }

    @classmethod
    def from_state(cls, prior: StepCoefficients, state: dict[str, Any]) -> "StepCalibration":
        """Inverse of `to_state`. Raises ValueError, KeyError or TypeError for what it never wrote."""
        calibration = cls(
            prior,
            str(state["conditions"]),
            int(state["windows"]),
            int(state["version"]),
            Residuals.from_state(state["residuals"]),
            _finite(state["gram"], (FEATURES, FEATURES)),
            _finite(state["moment"], (FEATURES,)),
            _finite(state["sums"], (FEATURES,)),
            float(_finite(state["joules"], ())),
            _finite(state["solution"], (FEATURES,)),
        )
        calibration._doubt = float(_finite(state["doubt"], ()))
        calibration.step_seconds = float(_finite(state["step_seconds"], ()))
        if calibration.version:
            calibration._solved = StepCoefficients(*calibration._solution[_OWN].tolist())
        return calibration


def _finite(values: Any, shape: tuple[int, ...]) -> Array:
    array = np.array(values, dtype=float)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"has shape {array.shape}, must be finite numbers of shape {shape}")
    return array
