"""How much more often dissatisfied users answer, learned from an audited sample.

Where users who are dissatisfied answer r times as often, a voluntary label is 1 with the odds of the truth
divided by r: on the scale of logits it is the truth minus ln r. An audited label is the truth. So ln r is
one more unknown of the satisfaction head, shared by all voluntary labels. It is kept apart from the head
(separate-bias estimation: B. Friedland, "Treatment of bias in recursive filtering", IEEE Transactions on
Automatic Control 14(4), 1969): the head's weights are a linear function of ln r, and when ln r moves, so
do they. Until the first audited label ln r stays 0, and only the slope of that function is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from services.core.events import FloatArray
from services.core.joint_gaussian import JointGaussian
from services.core.model_change import ModelChange


@dataclass(slots=True)
class Answering:
    """A Gaussian belief over ln r, drawn to 0.

    Attributes:
        log_ratio: mean of ln r.
        variance: of ln r.
        audits: audited labels so far.
        sensitivity: how far the head's weights move per unit of ln r, shape (M, d).

    """

    log_ratio: float
    variance: float
    audits: int
    sensitivity: FloatArray

    @classmethod
    def initial(cls, model_count: int, feature_count: int, prior_sd: float) -> "Answering":
        """Everybody answers alike, until audits say otherwise."""
        return cls(0.0, prior_sd**2, 0, np.zeros((model_count, feature_count)))

    def learn(
        self,
        belief: JointGaussian,
        model_index: int,
        features: FloatArray,
        residual: float,
        curvature: float,
        *,
        audited: bool,
    ) -> None:
        """One label: moves ln r, then the head, both in place.

        Args:
            belief: the satisfaction head.
            model_index: the judged model.
            features: shape (d,).
            residual: label minus what was expected of it.
            curvature: of its log-likelihood by the logit, > 0.
            audited: whether it was drawn independently of the answer.

        """
        slope = float(self.sensitivity[model_index] @ features) - (not audited)
        self.audits += audited
        if self.audits:
            variance = float(belief.variances(features)[model_index])
            spread = curvature * slope * slope * self.variance + 1.0 + curvature * variance
            moved = self.variance * slope * residual / spread
            self.log_ratio += moved
            self.variance -= curvature * (self.variance * slope) ** 2 / spread
            belief.mean += moved * self.sensitivity
            residual -= curvature * slope * moved
        step = belief.learn(model_index, features, residual, curvature)
        self.sensitivity -= (curvature * slope) * step

    def carried_over(self, prior: "Answering", change: ModelChange) -> "Answering":
        """For another list of models: ln r stays, and of a new model no label was taken yet."""
        return replace(self, sensitivity=change.rows(self.sensitivity, prior.sensitivity))

    def arrays(self) -> dict[str, FloatArray]:
        """Complete, by name."""
        numbers = np.array([self.log_ratio, self.variance, float(self.audits)])
        return {"answering_numbers": numbers, "answering_sensitivity": self.sensitivity}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> "Answering":
        """Inverse of `arrays`, whose shapes were checked."""
        log_ratio, variance, audits = arrays["answering_numbers"].tolist()
        return cls(log_ratio, variance, int(audits), arrays["answering_sensitivity"])
