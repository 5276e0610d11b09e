"""Parameters of `pacer`: all dimensionless, one set for every zoo."""

from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray
from services.core.policies.parameters import number
from services.core.weight_prior import WeightPrior


@dataclass(frozen=True, slots=True)
class PacerParameters:
    """What an operator may set of `pacer`; nothing needs to be.

    Attributes:
        prior_sd: of a model's intercept, logits, where the operator stated its satisfaction.
        unknown_prior_sd: the same where he did not.
        slope_sd: of all slopes together, logits.
        intercept_correlation: of satisfaction between models.
        slope_correlation: the same for slopes.
        energy_correlation: the same for all weights of energy.
        energy_prior_sd: of a model's intercept, ln J.
        energy_slope_sd: of all slopes together, ln J.
        exploration: least noise on a model's mean logit and mean ln J, in their standard deviations.
        most_exploration: most of it.
        full_exploration_sd: standard deviation that would get one of itself as noise; less gets less.
        debt_scale: SLA debt, in requests, that adds one standard deviation of optimism.
        max_optimism: most standard deviations of optimism.
        reserve: requests whose joules may buy satisfaction above alpha, kept against chance.
        window: contexts that the dual variable is solved over.
        resolve_every: decisions between two solutions.
        strictness: standard deviations by which predictions are lowered when it is solved; 0 is cheapest.
        forgetting: share of the prior covariance that a request adds.
        answering_prior_sd: of ln of how many times as often dissatisfied users answer.
        surprised_forgetting: the same of a label while labels contradict what is believed.
        surprised_return: share of the way back to the prior that intercepts go with such a label.

    """

    prior_sd: float = number(0.7, 0.01, 10.0, "logit")
    unknown_prior_sd: float = number(1.0, 0.01, 10.0, "logit")
    slope_sd: float = number(1.0, 0.01, 10.0, "logit")
    intercept_correlation: float = number(0.5, 0.0, 0.99)
    slope_correlation: float = number(0.98, 0.0, 0.999)
    energy_correlation: float = number(0.95, 0.0, 0.99)
    energy_prior_sd: float = number(0.7, 0.01, 10.0, "ln J")
    energy_slope_sd: float = number(0.5, 0.01, 10.0, "ln J")
    exploration: float = number(0.3, 0.0, 3.0)
    most_exploration: float = number(0.7, 0.0, 3.0)
    full_exploration_sd: float = number(0.35, 0.01, 10.0, "logit or ln J")
    debt_scale: float = number(8.0, 0.1, 1e6, "requests")
    max_optimism: float = number(4.0, 0.0, 10.0)
    reserve: float = number(6.0, 0.0, 1e6, "requests")
    window: int = number(1000, 50, 10_000, "requests")
    resolve_every: int = number(10, 1, 1000, "requests")
    strictness: float = number(0.0, 0.0, 3.0)
    forgetting: float = number(1e-5, 0.0, 0.1)
    answering_prior_sd: float = number(1.0, 0.0, 10.0)
    surprised_forgetting: float = number(0.05, 0.0, 1.0)
    surprised_return: float = number(0.02, 0.0, 1.0)

    def satisfaction_prior(self, feature_count: int) -> WeightPrior:
        """Of the satisfaction head, where every model's satisfaction was stated."""
        slope_sd = self.slope_sd / max(1, feature_count - 1) ** 0.5
        return WeightPrior(self.prior_sd, slope_sd, self.intercept_correlation, self.slope_correlation)

    def energy_prior(self, feature_count: int) -> WeightPrior:
        """Of the energy head."""
        slope_sd = self.energy_slope_sd / max(1, feature_count - 1) ** 0.5
        return WeightPrior(self.energy_prior_sd, slope_sd, self.energy_correlation, self.energy_correlation)

    def optimism(self, debt: float) -> float:
        """Standard deviations by which every model is believed better while its class owes D requests."""
        return min(self.max_optimism, max(0.0, debt) / self.debt_scale)

    def exploration_sd(self, sd: FloatArray) -> FloatArray:
        """Noise for what is known to within `sd`: of the unknown all of it, of the known a little."""
        share = np.minimum(sd / self.full_exploration_sd, self.most_exploration)
        result: FloatArray = sd * np.maximum(share, self.exploration)
        return result
