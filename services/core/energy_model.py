"""Joules of a request before it runs, per model: from its prompt, its answer's length, and the load.

    E_m(p, o, B) = level * (prefill(p) + o * (F / (B+1) + m + kappa * (p + o/2)))

with p uncached prompt tokens, o generated ones and B the requests that run on the worker already. An engine
step costs F + m * batch (`StepLaw`), so an idle worker's only request pays the whole fixed cost.

How long an answer gets is the same question as what it costs, a heavy-tailed positive number that follows
from the prompt: `EnergyHead` answers both, here for tokens, in `pacer` for joules at no load. The median is
the exponential of its mean logarithm; what control and bills need is the mean, corrected per model towards
sum(predicted) = sum(true). The same correction over joules given tokens is the level: coefficients are
trusted for their ratios only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray
from services.core.policies.energy_head import EnergyHead
from services.core.steps import StepCoefficients
from services.core.weight_prior import WeightPrior

__all__ = ["EnergyModel", "Expectation", "StepLaw", "fitted_step_law", "request_joules"]

_PRIOR_TOKENS = 200.0
_STATED_WEIGHT, _UNSTATED_WEIGHT = 10.0, 0.01
_SUMS_KEPT = 0.999


@dataclass(frozen=True, slots=True)
class StepLaw:
    """E_step(batch) = F + m * batch, joules of one decoding step.

    Attributes:
        step_joules: F, J of a step whoever is active, >= 0.
        decode_joules: m, J per generated token, >= 0.

    Raises ValueError where one is negative or not finite.

    """

    step_joules: float
    decode_joules: float

    def __post_init__(self) -> None:
        """Checks both."""
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} is {value}, must be finite and >= 0")

    def __add__(self, other: "StepLaw") -> "StepLaw":
        """Of a step that takes energy from both."""
        return StepLaw(self.step_joules + other.step_joules, self.decode_joules + other.decode_joules)

    def joules_per_token(self, running: float) -> float:
        """F / (B+1) + m for a request that joins B >= 0 running ones."""
        return self.step_joules / (running + 1.0) + self.decode_joules

    def load_factor(self, running: float) -> float:
        """Joules per token at this load over those on an idle worker, in (0, 1].

        Exactly 1 where the worker is idle or a step has no fixed cost.
        """
        if self.step_joules == 0.0 or running <= 0.0:
            return 1.0
        return self.joules_per_token(running) / self.joules_per_token(0.0)


def fitted_step_law(batch_sizes: Sequence[float], joules_per_token: Sequence[float]) -> StepLaw:
    """The law with the least squared relative error, F and m >= 0, from n >= 2 measurements.

    `batch_sizes` count every running request, > 0; `joules_per_token` > 0. Raises ValueError for less than
    two different batch sizes: they do not tell F from m.
    """
    if len(set(batch_sizes)) < 2:
        raise ValueError(f"batch_sizes are {list(batch_sizes)}, at least two different ones are needed")
    sizes, joules = np.asarray(batch_sizes, float), np.asarray(joules_per_token, float)
    columns = np.stack([1.0 / sizes, np.ones_like(sizes)], axis=1) / joules[:, None]
    best: FloatArray = np.linalg.lstsq(columns, np.ones_like(joules), rcond=None)[0]
    if best.min() < 0.0:
        # With one of two below 0, the constrained optimum has one of them at 0.
        alone = columns.sum(axis=0) / np.square(columns).sum(axis=0)
        errors = np.square(columns * alone - 1.0).sum(axis=0)
        best = np.where(np.arange(2) == errors.argmin(), alone, 0.0)
    return StepLaw(float(best[0]), float(best[1]))


def request_joules(costs: StepCoefficients, prompt_tokens: float, tokens: float, running: float) -> float:
    """The formula of the module without its level: never less for more prompt or generated tokens."""
    law = StepLaw(costs.step_joules, costs.decode_joules)
    prefill = prompt_tokens * (costs.prefill_joules + costs.prefill_context_joules * prompt_tokens)
    context = costs.context_joules * (prompt_tokens + 0.5 * tokens)
    return prefill + costs.context_joules * prompt_tokens + tokens * (law.joules_per_token(running) + context)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of one request, per model; all arrays of shape (M,).

    Attributes:
        tokens: mean generated tokens.
        median_joules: half of such requests take less.
        mean_joules: what they add up to, over their number.

    """

    tokens: FloatArray
    median_joules: FloatArray
    mean_joules: FloatArray


class EnergyModel:
    """What M models are expected to take, learned from outcomes and energy events.

    Args:
        costs: of each model's steps; only their ratios matter.
        priors_joules: mean joules of a request as an operator states them, None where he does not. Where
            none is stated the first measurement sets the level.
        feature_count: d.
        prior: of the regression of ln tokens.

    Raises ValueError where a model's tokens cost nothing.

    """

    def __init__(
        self,
        costs: Sequence[StepCoefficients],
        priors_joules: Sequence[float | None],
        feature_count: int,
        prior: WeightPrior,
    ) -> None:
        self._costs = tuple(costs)
        self._lengths = EnergyHead.initial([_PRIOR_TOKENS] * len(costs), feature_count, prior)
        stated = np.array([joules is not None for joules in priors_joules])
        expected = np.array([request_joules(c, 0.0, _PRIOR_TOKENS, 0.0) for c in costs])
        if not (expected > 0.0).all():
            raise ValueError(f"costs {costs[int(expected.argmin())]}: tokens must cost something")
        joules = [e if j is None else j for e, j in zip(expected.tolist(), priors_joules, strict=True)]
        weights = np.where(stated, _STATED_WEIGHT, _UNSTATED_WEIGHT)
        self._predicted, self._measured = weights * expected, weights * np.array(joules)

    def expect(self, features: FloatArray, prompt_tokens: float, running: Sequence[float]) -> Expectation:
        """For a request of features (d,) and uncached prompt tokens; `running`: B per model's worker."""
        logs: FloatArray = self._lengths.belief.mean @ features
        tokens: FloatArray = np.exp(logs + self._lengths.log_scale)
        median, mean = (self._joules(prompt_tokens, lengths, running) for lengths in (np.exp(logs), tokens))
        return Expectation(tokens, median, mean)

    def _joules(self, prompt_tokens: float, tokens: FloatArray, running: Sequence[float]) -> FloatArray:
        each = zip(self._costs, tokens.tolist(), running, strict=True)
        formula = np.array([request_joules(c, prompt_tokens, o, b) for c, o, b in each])
        result: FloatArray = formula * self._measured / self._predicted
        return result

    def learn_outcome(self, model_index: int, features: FloatArray, completion_tokens: float) -> None:
        """How long an answer became, >= 0."""
        self._lengths.learn(model_index, features, completion_tokens)

    def learn_energy(
        self, model_index: int, prompt_tokens: float, tokens: float, running: float, energy_joules: float
    ) -> None:
        """What a generation of these token counts took at this load, >= 0: moves its model's level."""
        expected = request_joules(self._costs[model_index], prompt_tokens, tokens, running)
        for sums, value in ((self._predicted, expected), (self._measured, energy_joules)):
            sums[model_index] = sums[model_index] * _SUMS_KEPT + value
