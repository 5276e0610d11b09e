"""What `pacer` believes of one request, what it draws from that, and how often each model would win."""

import math
from statistics import NormalDist

import numpy as np

from services.core.events import FloatArray
from services.core.policies.base import BoolArray, Context
from services.core.policies.pacer_control import Candidates
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.pacer_state import DecisionView

_RANKS = 61


class Believed:
    """What is believed of every model for one request, and how far a draw may stray from it.

    Attributes:
        satisfaction: predicted, with the uncertainty of its logit integrated out, shape (M,).
        variances: of the logits, shape (M,).
        energy_joules: predicted mean joules at the load of each model's worker, shape (M,).
        dual_joules: lambda, J.

    """

    def __init__(self, view: DecisionView, context: Context, parameters: PacerParameters) -> None:
        x, sla = context.features, context.sla
        logits: FloatArray = view.weights @ x
        self.variances: FloatArray = (view.blocks @ x) @ x
        self._shrink: FloatArray = 1.0 / np.sqrt(1.0 + (math.pi / 8.0) * self.variances)
        self.satisfaction = sigmoid(logits * self._shrink)
        self.energy_joules: FloatArray = np.exp(view.energy_weights @ x + view.energy_log_scale)
        if context.load_factors is not None:
            self.energy_joules *= context.load_factors
        mean_sd = view.mean_sds.get(sla.sla_class)
        if mean_sd is None:
            mean_sd = np.sqrt(self.variances)
        self._centres: FloatArray = logits + optimism(parameters, sla.debt) * mean_sd
        energy_sd = view.energy_sds.get(sla.sla_class)
        if energy_sd is None:
            energy_sd = np.zeros_like(mean_sd)
        self._noise_sd: FloatArray = exploration_sd(parameters, mean_sd)
        self._energy_noise_sd: FloatArray = exploration_sd(parameters, energy_sd)
        found = view.log_lambdas.get(sla.sla_class)
        log_lambda = self._first_lambda(sla.min_satisfaction) if found is None else found
        self.dual_joules = math.exp(log_lambda)

    def _first_lambda(self, min_satisfaction: float) -> float:
        """Of a class that is not known yet: enough for a model that meets alpha here, if there is one."""
        one = (self.satisfaction[None], self.satisfaction[None], self.energy_joules[None])
        candidates = Candidates(*one)
        return candidates.solved(min(min_satisfaction, candidates.best()))

    def scores(self, noise: FloatArray, energy_noise: FloatArray) -> FloatArray:
        """C~ - lambda * p~ from standard normal numbers, all of shape (..., M)."""
        draws = sigmoid((self._centres + self._noise_sd * noise) * self._shrink)
        joules = self.energy_joules * np.exp(self._energy_noise_sd * energy_noise)
        result: FloatArray = joules - self.dual_joules * draws
        return result

    def propensities(self, eligible: BoolArray) -> FloatArray:
        """How often each model's score is the smallest eligible one, shape (M,).

        Scores of different models are independent, so the integral over all noise is one over each model's
        own score, weighted by how often every other one's lies above; each on a grid of even probability.
        """
        model_count = len(self.satisfaction)
        quantiles = np.array([NormalDist().inv_cdf((rank + 0.5) / _RANKS) for rank in range(_RANKS)])
        grid = np.repeat(quantiles, _RANKS), np.tile(quantiles, _RANKS)
        noise, energy_noise = (np.repeat(axis[:, None], model_count, 1) for axis in grid)
        scores = np.sort(self.scores(noise, energy_noise), axis=0)
        result = np.zeros(model_count)
        members = np.flatnonzero(eligible).tolist()
        for m in members:
            wins = np.ones(len(scores))
            for other in members:
                if other != m:
                    wins *= 1.0 - np.searchsorted(scores[:, other], scores[:, m]) / len(scores)
            result[m] = wins.mean()
        result /= result.sum()
        return result


def optimism(parameters: PacerParameters, debt: float) -> float:
    """Standard deviations by which every model is believed better while the class is in debt."""
    return min(parameters.max_optimism, max(0.0, debt) / parameters.debt_scale)


def exploration_sd(parameters: PacerParameters, sd: FloatArray) -> FloatArray:
    """Noise for what is known to within `sd`: of the unknown all of it, of the known a little."""
    share = np.minimum(sd / parameters.full_exploration_sd, parameters.most_exploration)
    result: FloatArray = sd * np.maximum(share, parameters.exploration)
    return result


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + exp(-logit)), by element."""
    result: FloatArray = np.tanh(0.5 * logits)
    result *= 0.5
    result += 0.5
    return result
