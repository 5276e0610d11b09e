"""How far the weights of several linear models may lie from their prior mean, before anything is observed."""

from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray


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
        size = model_count * feature_count
        result = np.zeros((size, size))
        self.add_to(result, model_count)
        return result

    def add_to(self, covariance: FloatArray, model_count: int, share: float = 1.0) -> None:
        """Adds a share of it to such a covariance, in place."""
        feature_count = len(covariance) // model_count
        spread = covariance.reshape(model_count, feature_count, model_count, feature_count)
        # The entries that concern one feature alone: a view.
        np.einsum("mini->imn", spread)[:] += share * self._between_models(model_count, feature_count)

    def _between_models(self, model_count: int, feature_count: int) -> FloatArray:
        """Covariance of one feature's weights, all that there is beforehand, shape (d, M, M)."""
        variances = np.full((feature_count, 1, 1), self.slope_sd**2)
        correlations = np.full((feature_count, 1, 1), self.slope_correlation)
        variances[0], correlations[0] = self.intercept_sd**2, self.intercept_correlation
        same = np.eye(model_count)
        result: FloatArray = variances * (correlations * (1.0 - same) + same)
        return result
