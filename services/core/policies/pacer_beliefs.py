"""What `pacer` believes of one request, what it draws from that, and how often each model would win."""

import math
from statistics import NormalDist

import numpy as np

from services.core.events import FloatArray
from services.core.policies.base import BoolArray, Context
from services.core.policies.pacer_control import Candidates
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.pacer_view import ControlView, DecisionView

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
        means: FloatArray = view.weights @ x
        self.variances: FloatArray = (view.blocks @ x) @ x
        self._shrink = shrink(self.variances)
        self.satisfaction = sigmoid(means[0] * self._shrink)
        self.energy_joules: FloatArray = np.exp(means[1] + view.energy_log_scale)
        if context.load_factors is not None:
            self.energy_joules *= context.load_factors
        control = view.controls.get(sla.sla_class) or self._first_control(parameters, sla.min_satisfaction)
        self._centres: FloatArray = means[0] + parameters.optimism(sla.debt) * control.mean_sds[0]
        self._noise_sds = control.noise_sds
        self.dual_joules = math.exp(control.log_lambda)

    def _first_control(self, parameters: PacerParameters, min_satisfaction: float) -> ControlView:
        """Of a class that is not known yet: enough for a model that meets alpha here, if there is one."""
        one = (self.satisfaction[None], self.satisfaction[None], self.energy_joules[None])
        candidates = Candidates(*one)
        log_lambda = candidates.solved(min(min_satisfaction, candidates.best()), candidates.bounds())
        sd = np.sqrt(self.variances)
        return ControlView.of(parameters, log_lambda, np.stack([sd, np.zeros_like(sd)]))

    def scores(self, noise: FloatArray) -> FloatArray:
        """C~ - lambda * p~, shape (..., M), from standard normal numbers of shape (2, ..., M).

        The first half is for satisfaction, the second for joules.
        """
        draws = sigmoid((self._centres + self._noise_sds[0] * noise[0]) * self._shrink)
        joules = self.energy_joules * np.exp(self._noise_sds[1] * noise[1])
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
        noise = np.stack([np.repeat(axis[:, None], model_count, 1) for axis in grid])
        scores = np.sort(self.scores(noise), axis=0)
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


def shrink(variances: FloatArray) -> FloatArray:
    """What a logit of this variance is multiplied by so that its sigmoid is the mean probability.

    By the probit approximation (MacKay 1992).
    """
    result: FloatArray = 1.0 / np.sqrt(1.0 + (math.pi / 8.0) * variances)
    return result


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + exp(-logit)), by element."""
    result: FloatArray = np.tanh(0.5 * logits)
    result *= 0.5
    result += 0.5
    return result
