"""Learns what a step costs from the windows of a counter: the coefficients that attribution weighs with.

A window's energy less the idle power is linear in what its steps did, so the coefficients are a least-squares
problem over windows. Kept are only its normal equations, which fade slowly, so an update is cheap and what is
learned follows the device as it warms up or ages. Three things make it safe to use:

* Coefficients are never negative (`nonnegative_least_squares`).
* Real steps are not quite affine in the batch. Left alone, that bends the marginal costs (context most). So
  a deviation that is piecewise linear in the decoded tokens of a step is fitted along and then left out:
  marginalised under the prior that it is a few percent.
* Each coefficient is drawn towards its prior as if the prior were right to within 100 %, so what the traffic
  does not tell apart stays as it was. Of the prior only the ratios count; its scale is taken from the data.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.core.attribution import GenerationWork, StepCoefficients
from services.core.nnls import nonnegative_least_squares

__all__ = ["FEATURES", "StepCalibration", "step_features"]

_COEFFICIENTS = 5
_KNOTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
FEATURES = _COEFFICIENTS + len(_KNOTS)
"""Length of a row of features: what the five coefficients multiply, then the hat functions of the batch."""
MEMORY_WINDOWS = 20_000
"""Windows after which an observation counts 1/e."""
MIN_WINDOWS = 200
"""Windows before the fit is used instead of the prior."""
_WINDOW_DEVIATION = 0.05
_PRIOR_DEVIATION = 1.0
_BEND_DEVIATION = 0.1


def step_features(work: Sequence[GenerationWork]) -> list[float]:
    """What the coefficients multiply in one step: sums of p, p*x, d, x; 1; and the batch's hat functions."""
    prompt = prompt_context = decoded = context = 0
    for each in work:
        prompt += each.prefill_tokens
        prompt_context += each.prefill_tokens * each.context_tokens
        decoded += each.decode_tokens
        context += each.context_tokens
    return [prompt, prompt_context, decoded, context, 1.0, *_hats(decoded)]


def _hats(decoded: int) -> list[float]:
    """Weights of the two knots around, which interpolate linearly; beyond the last they extrapolate."""
    hats = [0.0] * len(_KNOTS)
    right = 1
    while right < len(_KNOTS) - 1 and decoded > _KNOTS[right]:
        right += 1
    hats[right] = (decoded - _KNOTS[right - 1]) / (_KNOTS[right] - _KNOTS[right - 1])
    hats[right - 1] = 1.0 - hats[right]
    return hats


@dataclass(slots=True)
class StepCalibration:
    """Coefficients of one model on one engine and device, as far as they are known."""

    prior: StepCoefficients
    windows: int = 0
    version: int = 0
    """Rises with every solution; 0: nothing but the prior."""
    gram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((FEATURES, FEATURES)))
    moment: NDArray[np.float64] = field(default_factory=lambda: np.zeros(FEATURES))
    expected_joules: float = 0.0
    measured_joules: float = 0.0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(FEATURES))
    squares: float = 0.0
    solution: NDArray[np.float64] | None = None

    @property
    def coefficients(self) -> StepCoefficients:
        return self.prior if self.solution is None else StepCoefficients(*self.solution[:_COEFFICIENTS].tolist())

    def observe(self, features: NDArray[np.float64], joules: NDArray[np.float64]) -> None:
        """Learns windows: `features` (n, FEATURES), `joules` (n,) above the idle power."""
        n = len(joules)
        expected = self.expected(features)
        floor = 0.1 * max(expected.mean(), joules.mean())
        weights = 1.0 / np.maximum(expected * (joules.sum() / expected.sum()), floor) ** 2
        keep = math.exp(-n / MEMORY_WINDOWS)
        self.gram = keep * self.gram + (features * weights[:, None]).T @ features
        self.moment = keep * self.moment + features.T @ (weights * joules)
        self.sums = keep * self.sums + features.sum(axis=0)
        self.measured_joules = keep * self.measured_joules + joules.sum()
        self.windows += n

    def expected(self, features):
        c = np.array(astuple(self.prior)) if self.solution is None else self.solution
        return features[:, : len(c)] @ c

    def solve(self) -> None:
        prior = np.array(astuple(self.prior))
        prior *= self.measured_joules / (self.sums[:_COEFFICIENTS] @ prior)
        scale = np.maximum(prior, 0.1 * self.measured_joules / np.maximum(self.sums[:5], 1e-9))
        bend = _BEND_DEVIATION * (prior[4] + prior[2] * np.array(_KNOTS))
        ridge_b = _WINDOW_DEVIATION**2 / bend**2
        ridge_a = _WINDOW_DEVIATION**2 / (_PRIOR_DEVIATION*scale)**2
        a, b = slice(0, 5), slice(5, FEATURES)
        G = self.gram
        H = np.linalg.inv(G[b, b] + np.diag(ridge_b))
        Ga = G[a, a] - G[a, b] @ H @ G[b, a] + np.diag(ridge_a)
        ma = self.moment[a] - G[a, b] @ H @ self.moment[b] + ridge_a * prior
        ca = nonnegative_least_squares(Ga * np.outer(scale, scale), ma * scale) * scale
        cb = H @ (self.moment[b] - G[b, a] @ ca)
        self.solution = np.concatenate([ca, cb])
        self.version += 1
