"""A Gaussian belief over the weights of several linear models at once, updated one observation at a time.

What one model's answer shows is partly true of the others: a hard prompt is hard for all. The prior
correlates the models' weights, and every observation of one model moves all of them (recursive Bayesian
linear regression; for logits its extended form).
"""

import math
from collections.abc import Sequence

import numpy as np

from services.core.events import FloatArray
from services.core.model_change import ModelChange
from services.core.weight_prior import WeightPrior

_TOGETHER = 16
"""Observations that are taken off the covariance at once."""


class JointGaussian:
    """Mean and covariance of the weights of M linear models on d features, the first being 1.

    An observation takes a product r r' off the covariance of all M*d weights. The newest r are kept apart and
    taken off together: once through the whole matrix instead of sixteen times.

    Args:
        mean: shape (M, d).
        covariance: shape (M*d, M*d), symmetric to the last bit.

    """

    def __init__(self, mean: FloatArray, covariance: FloatArray) -> None:
        self.mean = mean
        model_count, feature_count = mean.shape
        spread = covariance.reshape(model_count, feature_count, model_count, feature_count)
        self._flat_mean: FloatArray = mean.reshape(-1)
        self._settled, self._columns = covariance, covariance.reshape(-1, model_count, feature_count)
        self._newest: FloatArray = np.zeros((_TOGETHER, mean.size))
        self._newest_count = 0
        self._settled_blocks: FloatArray = np.einsum("mimj->mij", spread)

    @property
    def covariance(self) -> FloatArray:
        """Over all weights, model by model, shape (M*d, M*d): a copy."""
        result = self._settled.copy()
        for row in self._newest[: self._newest_count]:
            result -= np.outer(row, row)
        return result

    @property
    def blocks(self) -> FloatArray:
        """Covariance of each model's own weights, shape (M, d, d): a copy."""
        rows = self._newest_of_each().transpose(1, 0, 2)
        # Of the transpose of the very same array, numpy makes a product that is symmetric to the last bit.
        result: FloatArray = self._settled_blocks - rows.transpose(0, 2, 1) @ rows
        return result

    def _newest_of_each(self) -> FloatArray:
        """By model, shape (k, M, d)."""
        return self._newest[: self._newest_count].reshape(-1, *self.mean.shape)

    @classmethod
    def initial(cls, intercepts: Sequence[float], feature_count: int, prior: WeightPrior) -> "JointGaussian":
        """The prior: these intercepts and no slopes."""
        mean = np.zeros((len(intercepts), feature_count))
        mean[:, 0] = intercepts
        return cls(mean, prior.covariance(len(intercepts), feature_count))

    def variances(self, features: FloatArray) -> FloatArray:
        """Variance of every model's output for features (d,), shape (M,)."""
        settled, taken_off = (self._settled_blocks @ features) @ features, self._newest_of_each() @ features
        result: FloatArray = settled - np.einsum("km,km->m", taken_off, taken_off)
        return result

    def variances_of_each(self, features: FloatArray) -> FloatArray:
        """The same for n vectors of features at once, (n, d) to (n, M)."""
        columns = np.ascontiguousarray(features.T)
        # Along the last axis of both, several vectors are summed at once.
        return np.stack([np.einsum("in,in->n", block @ columns, columns) for block in self.blocks], 1)

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
        begin, d = model_index * len(features), len(features)
        covaries = self._columns[:, model_index] @ features
        if self._newest_count:
            rows = self._newest[: self._newest_count]
            covaries -= (rows[:, begin : begin + d] @ features) @ rows
        gain = 1.0 / (1.0 + precision * float(covaries[begin : begin + d] @ features))
        self._flat_mean += (gain * innovation) * covaries
        step: FloatArray = (gain * covaries).reshape(self.mean.shape)
        covaries *= math.sqrt(precision * gain)
        self._take_off(covaries)
        return step

    def _take_off(self, row: FloatArray) -> None:
        self._newest[self._newest_count] = row
        self._newest_count += 1
        if self._newest_count == _TOGETHER:
            self._settled -= self._newest.T @ self._newest
            self._newest[:], self._newest_count = 0.0, 0

    def forget(self, prior: WeightPrior, share: float) -> None:
        """Adds a share of the prior covariance: what was learned so far counts for less."""
        prior.add_to(self._settled, len(self.mean), share)

    def draw_intercepts(self, towards: FloatArray, share: float) -> None:
        """Moves every model's intercept a share of the way to that of `towards`, shape (M,)."""
        self.mean[:, 0] += share * (towards - self.mean[:, 0])

    def widen_intercept(self, model_index: int, variance: float) -> None:
        """Adds to the variance of one model's intercept."""
        index = model_index * self.mean.shape[1]
        self._settled[index, index] += variance

    def carried_over(self, prior: "JointGaussian", change: ModelChange) -> "JointGaussian":
        """The belief over another list of models, from the prior over that list.

        Kept models keep their means and covariances to the last bit. A new one gets what its prior says once
        the others are known as they are now, as if it had been there all the time and was never observed:
        a hard prompt is hard for it too, and where the others' priors were too high, so was its own.
        """
        mean, covariance, d = prior.mean.copy(), prior.covariance, prior.mean.shape[1]
        kept, before, added = (
            (places[:, None] * d + np.arange(d)).ravel()
            for places in (change.kept, change.kept_before, change.added)
        )
        known, known_before = self._settled[np.ix_(before, before)], covariance[np.ix_(kept, kept)]
        follows = np.linalg.solve(known_before, covariance[np.ix_(kept, added)]).T
        flat, flat_before = mean.reshape(-1), self._flat_mean[before]
        flat[added] += follows @ (flat_before - flat[kept])
        flat[kept] = flat_before
        among = follows @ (known - known_before) @ follows.T
        covariance[np.ix_(added, added)] += 0.5 * (among + among.T)
        covariance[np.ix_(kept, kept)] = known
        across = follows @ known
        covariance[np.ix_(added, kept)], covariance[np.ix_(kept, added)] = across, across.T
        newest = np.empty((self._newest_count, mean.size))
        newest[:, kept] = self._newest[: self._newest_count, before]
        newest[:, added] = newest[:, kept] @ follows.T
        return JointGaussian(mean, covariance)._without(newest)

    def packed(self) -> FloatArray:
        """The covariance, shape (`packed_length`,): a lower triangle row by row, rows taken off, how many."""
        triangle = self._settled[np.tril_indices(len(self._settled))]
        return np.concatenate([triangle, self._newest.ravel(), [float(self._newest_count)]])

    @staticmethod
    def packed_length(model_count: int, feature_count: int) -> int:
        """Of the covariance of so many models on so many features."""
        size = model_count * feature_count
        return size * (size + 1) // 2 + _TOGETHER * size + 1

    @classmethod
    def unpacked(cls, mean: FloatArray, packed: FloatArray) -> "JointGaussian":
        """Inverse of `packed`, beside its mean (M, d)."""
        covariance = np.empty((mean.size, mean.size))
        rows, columns = np.tril_indices(mean.size)
        triangle, newest = packed[: len(rows)], packed[len(rows) : -1].reshape(_TOGETHER, -1)
        covariance[rows, columns] = covariance[columns, rows] = triangle
        return cls(mean, covariance)._without(newest[: int(packed[-1])])

    def _without(self, rows: FloatArray) -> "JointGaussian":
        for row in rows:
            self._take_off(row)
        return self
