"""Joules of a request before it runs, per model: a joint regression of ln J, calibrated on the mean.

Output lengths have heavy tails, and what a bill adds up is joules, not their logarithms: exp(mean + s2/2)
is corrected per model by the sum of joules over the sum of predictions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray
from services.core.joint_gaussian import JointGaussian
from services.core.model_change import ModelChange
from services.core.weight_prior import WeightPrior

_START_VARIANCE = 0.5
_START_WEIGHT = 10.0
_MAX_SQUARED_RESIDUAL = 4.0
_MAX_RESIDUAL = 4.0
_VARIANCE_RATE = 0.002
_SUMS_KEPT = 0.999
_CALIBRATION_WEIGHT = 20.0
_UNKNOWN_STEP = math.log(2.0)


@dataclass(slots=True)
class EnergyHead:
    """Belief over ln J of every model.

    Attributes:
        belief: weights of ln J, M models on d features.
        residual_variance: s2, of ln J around its mean, shape (M,).
        observations: fading number of measured generations per model, shape (M,).
        predicted: fading sum of predicted joules before calibration, shape (M,).
        measured: fading sum of the same generations' joules, shape (M,).
        level_known: whether the joules' unit is known: from any prior, or from the first measurement.

    """

    belief: JointGaussian
    residual_variance: FloatArray
    observations: FloatArray
    predicted: FloatArray
    measured: FloatArray
    level_known: bool

    @classmethod
    def initial(
        cls, priors_joules: Sequence[float | None], feature_count: int, prior: WeightPrior
    ) -> "EnergyHead":
        """From an operator's joules; a model without any costs what its place in the zoo suggests.

        Where nothing is known, each model is taken to cost twice the one before, and the first measurement
        sets the level: so no unit of energy is built in.
        """
        model_count = len(priors_joules)
        intercepts = _intercepts(priors_joules)
        zeros = np.zeros(model_count)
        return cls(
            JointGaussian.initial(intercepts, feature_count, prior),
            np.full(model_count, _START_VARIANCE),
            zeros,
            zeros.copy(),
            zeros.copy(),
            any(joules is not None for joules in priors_joules),
        )

    @property
    def log_scale(self) -> FloatArray:
        """What is added to the mean of ln J for calibrated mean joules, shape (M,)."""
        result: FloatArray = 0.5 * self.residual_variance + np.log(self._calibration())
        return result

    def _calibration(self) -> FloatArray:
        """Sum of joules over sum of predictions, drawn to 1 by some pseudo-observations, shape (M,)."""
        mean = self.predicted / np.maximum(self.observations, 1e-12)
        extra = _CALIBRATION_WEIGHT * np.where(self.observations > 0.0, mean, 1.0)
        result: FloatArray = (self.measured + extra) / (self.predicted + extra)
        return result

    def learn(self, model_index: int, features: FloatArray, energy_joules: float) -> float:
        """One generation's joules, >= 0; returns how far the level of all models moved, ln J."""
        shift = self._find_level(model_index, features, energy_joules)
        expected = float(self.belief.mean[model_index] @ features)
        variance = float(self.residual_variance[model_index])
        residual = _log_ratio(energy_joules, expected)
        # Bounded like the residual: one runaway answer must not price its model out of the zoo.
        self._keep_sums(model_index, math.exp(expected + 0.5 * variance), math.exp(expected + residual))
        self.belief.learn(model_index, features, residual / variance, 1.0 / variance)
        rate = max(_VARIANCE_RATE, 1.0 / (float(self.observations[model_index]) + _START_WEIGHT))
        squared = min(residual * residual, _MAX_SQUARED_RESIDUAL)
        self.residual_variance[model_index] = max(1e-4, variance + rate * (squared - variance))
        return shift

    def _find_level(self, model_index: int, features: FloatArray, energy_joules: float) -> float:
        if self.level_known or energy_joules <= 0.0:
            return 0.0
        shift = math.log(energy_joules) - float(self.belief.mean[model_index] @ features)
        self.belief.mean[:, 0] += shift
        self.level_known = True
        return shift

    def _keep_sums(self, model_index: int, predicted: float, measured: float) -> None:
        for sums, value in (
            (self.observations, 1.0),
            (self.predicted, predicted),
            (self.measured, measured),
        ):
            sums[model_index] = sums[model_index] * _SUMS_KEPT + value

    def carried_over(self, prior: "EnergyHead", change: ModelChange) -> "EnergyHead":
        """The head over another list of models, from the prior over that list.

        Where no unit of energy was found yet and the prior states one, all is as the prior says; where the
        unit was found by measuring and the prior states none, the prior is taken to that level first.
        """
        if prior.level_known and not self.level_known:
            return prior
        if self.level_known and not prior.level_known and len(change.kept):
            known, guessed = self.belief.mean[change.kept_before, 0], prior.belief.mean[change.kept, 0]
            prior.belief.mean[:, 0] += float((known - guessed).mean())
        return EnergyHead(
            self.belief.carried_over(prior.belief, change),
            change.rows(self.residual_variance, prior.residual_variance),
            change.rows(self.observations, prior.observations),
            change.rows(self.predicted, prior.predicted),
            change.rows(self.measured, prior.measured),
            self.level_known,
        )

    def arrays(self) -> dict[str, FloatArray]:
        """Everything, by name."""
        numbers = (self.residual_variance, self.observations, self.predicted, self.measured)
        return {
            "energy_mean": self.belief.mean,
            "energy_covariance": self.belief.packed(),
            "energy_numbers": np.stack(numbers),
            "energy_level": np.array([float(self.level_known)]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> "EnergyHead":
        """Inverse of `arrays`, whose shapes were checked."""
        variance, observations, predicted, measured = arrays["energy_numbers"].copy()
        return cls(
            JointGaussian.unpacked(arrays["energy_mean"], arrays["energy_covariance"]),
            variance,
            observations,
            predicted,
            measured,
            bool(arrays["energy_level"][0]),
        )


def _log_ratio(energy_joules: float, expected_log: float) -> float:
    """ln J minus what was expected, bounded: neither 0 J nor a runaway answer may move the weights far."""
    if energy_joules <= 0.0:
        return -_MAX_RESIDUAL
    return min(max(math.log(energy_joules) - expected_log, -_MAX_RESIDUAL), _MAX_RESIDUAL)


def _intercepts(priors_joules: Sequence[float | None]) -> list[float]:
    """ln J per model: stated, or the level of the stated ones, a factor of two per place in the zoo."""
    known = [(place, math.log(joules)) for place, joules in enumerate(priors_joules) if joules is not None]
    level = sum(log - place * _UNKNOWN_STEP for place, log in known) / len(known) if known else 0.0
    stated = dict(known)
    return [stated.get(place, level + place * _UNKNOWN_STEP) for place in range(len(priors_joules))]
