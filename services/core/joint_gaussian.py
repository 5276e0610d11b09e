"""A Gaussian belief over the weights of several linear models at once, updated one observation at a time.

What one model's answer shows is partly true of the others: a hard prompt is hard for all. The prior
correlates the models' weights, and every observation of one model moves all of them (recursive Bayesian
linear regression; for logits its extended form).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray
from services.core.model_change import ModelChange


@dataclass(frozen=True, slots=True)
class WeightPrior:
    """How far weights may lie from their prior mean, and how alike they are between models.

    Attributes:
        intercept_sd: standard deviation of a model's intercept, > 0.
        slope_sd: of each slope, > 0.
        intercept_correlation: between two models' intercepts, in [0, 1).
        slope_correlation: between two models' slopes of one feature, in [0, 1).

    """

    intercept_sd: float
    slope_sd: float
    intercept_correlation: float
    slope_correlation: float

    def covariance(self, model_count: int, feature_count: int) -> FloatArray:
        """Over all weights, model by model, shape (M*d, M*d)."""
        result = np.zeros((model_count * feature_count, model_count * feature_count))
        _by_feature(result, model_count)[:] = self.between_models(model_count, feature_count)
        return result

    def between_models(self, model_count: int, feature_count: int) -> FloatArray:
        """Covariance of one feature's weights, all that there is beforehand, shape (d, M, M)."""
        variances = np.full((feature_count, 1, 1), self.slope_sd**2)
        correlations = np.full((feature_count, 1, 1), self.slope_correlation)
        variances[0], correlations[0] = self.intercept_sd**2, self.intercept_correlation
        same = np.eye(model_count)
        result: FloatArray = variances * (correlations * (1.0 - same) + same)
        return result


class JointGaussian:
    """Mean and covariance of the weights of M linear models on d features, the first being 1.

    Args:
        mean: shape (M, d).
        covariance: shape (M*d, M*d), symmetric to the last bit.

    """

    def __init__(self, mean: FloatArray, covariance: FloatArray) -> None:
        self.mean, self.covariance = mean, covariance
        model_count, feature_count = mean.shape
        spread = covariance.reshape(model_count, feature_count, model_count, feature_count)
        self._flat_mean: FloatArray = mean.reshape(-1)
        self.blocks: FloatArray = np.einsum("mimj->mij", spread)
        """Covariance of each model's own weights, shape (M, d, d): a view."""
        self._columns = covariance.reshape(-1, model_count, feature_count)

    @classmethod
    def initial(cls, intercepts: Sequence[float], feature_count: int, prior: WeightPrior) -> "JointGaussian":
        """The prior: these intercepts and no slopes."""
        mean = np.zeros((len(intercepts), feature_count))
        mean[:, 0] = intercepts
        return cls(mean, prior.covariance(len(intercepts), feature_count))

    def variances(self, features: FloatArray) -> FloatArray:
        """Variance of every model's output for features (d,), shape (M,)."""
        result: FloatArray = (self.blocks @ features) @ features
        return result

    def variances_of_each(self, features: FloatArray) -> FloatArray:
        """The same for n vectors of features at once, (n, d) to (n, M)."""
        columns = np.ascontiguousarray(features.T)
        # Along the first axis sums are taken row by row, several at once.
        return np.stack([np.add.reduce((block @ columns) * columns) for block in self.blocks], 1)

    def learn(
        self, model_index: int, features: FloatArray, innovation: float, precision: float
    ) -> FloatArray:
        """One observation of one model's output, in place; returns the step per innovation, shape (M, d).

        Args:
            model_index: which model was seen.
            features: shape (d,).
            innovation: precision times (observed - expected), or the gradient of a log-likelihood.
            precision: of the observation, > 0 (for a logit, the curvature).

        """
        covaries = self._columns[:, model_index] @ features
        d = len(features)
        begin = model_index * d
        gain = 1.0 / (1.0 + precision * float(covaries[begin : begin + d] @ features))
        self._flat_mean += (gain * innovation) * covaries
        step: FloatArray = (gain * covaries).reshape(self.mean.shape)
        # Scaled before the outer product: so both triangles are equal to the last bit.
        covaries *= math.sqrt(precision * gain)
        # By BLAS, half as long as by broadcasting; of a copy, since it takes its slow path where it sees A A'.
        self.covariance -= np.dot(covaries[:, None], covaries[None].copy())
        return step

    def forget(self, prior: WeightPrior, share: float) -> None:
        """Adds a share of the prior covariance: what was learned so far counts for less."""
        model_count, feature_count = self.mean.shape
        _by_feature(self.covariance, model_count)[:] += share * prior.between_models(
            model_count, feature_count
        )

    def carried_over(self, prior: "JointGaussian", change: ModelChange) -> "JointGaussian":
        """The belief over another list of models, from the prior over that list.

        Kept models keep their means and covariances to the last bit. A new one gets what its prior says once
        the others are known as they are now, as if it had been there all the time and was never observed:
        a hard prompt is hard for it too, and where the others' priors were too high, so was its own.
        """
        mean, covariance = prior.mean.copy(), prior.covariance.copy()
        result = JointGaussian(mean, covariance)
        d = mean.shape[1]
        kept, before, added = (
            (places[:, None] * d + np.arange(d)).ravel()
            for places in (change.kept, change.kept_before, change.added)
        )
        known, known_before = self.covariance[np.ix_(before, before)], covariance[np.ix_(kept, kept)]
        follows = np.linalg.solve(known_before, covariance[np.ix_(kept, added)]).T
        result._flat_mean[added] += follows @ (self._flat_mean[before] - result._flat_mean[kept])
        result._flat_mean[kept] = self._flat_mean[before]
        among = follows @ (known - known_before) @ follows.T
        covariance[np.ix_(added, added)] += 0.5 * (among + among.T)
        covariance[np.ix_(kept, kept)] = known
        across = follows @ known
        covariance[np.ix_(added, kept)], covariance[np.ix_(kept, added)] = across, across.T
        return result

    def packed(self) -> FloatArray:
        """The covariance's lower triangle, row by row."""
        return self.covariance[np.tril_indices(len(self.covariance))]

    @classmethod
    def unpacked(cls, mean: FloatArray, packed: FloatArray) -> "JointGaussian":
        """Inverse of `packed`, beside its mean (M, d)."""
        covariance = np.empty((mean.size, mean.size))
        rows, columns = np.tril_indices(mean.size)
        covariance[rows, columns] = packed
        covariance[columns, rows] = packed
        return cls(mean, covariance)


def _by_feature(covariance: FloatArray, model_count: int) -> FloatArray:
    """The entries that concern one feature alone, shape (d, M, M): a view."""
    spread = covariance.reshape(model_count, len(covariance) // model_count, model_count, -1)
    result: FloatArray = np.einsum("mini->imn", spread)
    return result
