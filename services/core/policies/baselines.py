"""Baselines that learn nothing: the cheapest mixture of two models, and one model for everything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.core.errors import InvalidSnapshotError
from services.core.events import FloatArray
from services.core.model_change import ModelChange
from services.core.policies.base import Action, BoolArray, Context, ModelPrior, RandomSource
from services.core.policies.parameters import NAME, PolicyConfigError, WrongField
from services.core.policies.selection import largest_eligible, prior_satisfactions
from services.core.policies.whole_state import WholeState


@dataclass(frozen=True, slots=True)
class NoParameters:
    """The policy has no parameters."""


@dataclass(frozen=True, slots=True)
class ModelMeans:
    """What the baselines know of the models, from the priors and never changed.

    Attributes:
        satisfaction: mean satisfaction per model, shape (M,).
        energy_joules: mean joules per model, shape (M,); NaN where unknown.

    """

    satisfaction: FloatArray
    energy_joules: FloatArray


class _Fixed(WholeState):
    """A policy without learning, whose state is the priors themselves."""

    @property
    def energy_weight(self) -> float:
        """0: there is none."""
        return 0.0

    @property
    def learns_from_served(self) -> bool:
        """False."""
        return False

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> ModelMeans:
        """The priors; .5 stands in for a satisfaction that nobody stated."""
        return _means(priors)

    def learn_exploration(self, state: ModelMeans, features: FloatArray, satisfaction: FloatArray) -> None:
        """Nothing."""

    def learn_label(
        self,
        state: ModelMeans,
        features: FloatArray,
        model_index: int,
        satisfaction: float,
        *,
        audited: bool = False,
    ) -> None:
        """Nothing."""

    def answer_ratio(self, state: ModelMeans) -> float:
        """1: labels are taken as they come."""
        return 1.0

    def learn_energy(
        self, state: ModelMeans, features: FloatArray, model_index: int, energy_joules: float
    ) -> None:
        """Nothing."""

    def state_arrays(self, state: ModelMeans) -> dict[str, FloatArray]:
        """None: the priors of the configuration are the state."""
        return {}

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> ModelMeans:
        """The priors again. Raises InvalidSnapshotError on arrays of another policy."""
        if arrays:
            raise InvalidSnapshotError(f"heads: arrays {sorted(arrays)}, expected none")
        return _means(priors)

    def carried_over(
        self, state: ModelMeans, change: ModelChange, priors: Sequence[ModelPrior], feature_count: int
    ) -> ModelMeans:
        """The priors of the models that are there now."""
        return self.initial_state(priors, feature_count)


def _means(priors: Sequence[ModelPrior]) -> ModelMeans:
    joules = [np.nan if prior.energy_joules is None else prior.energy_joules for prior in priors]
    return ModelMeans(prior_satisfactions(priors), np.array(joules, dtype=np.float64))


class StaticMixture(_Fixed):
    """The cheapest mixture of at most two models whose mean satisfaction meets alpha.

    It knows the models' averages and nothing of the request. Where no mixture meets alpha, it serves the
    best model.
    """

    @property
    def name(self) -> str:
        """ "static-mixture"."""
        return "static-mixture"

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> ModelMeans:
        """The priors. Raises PolicyConfigError naming the models that lack one."""
        lacking = [p.model_id for p in priors if p.satisfaction is None or p.energy_joules is None]
        if lacking:
            needed = f"needs prior satisfaction and joules of {', '.join(lacking)}"
            raise PolicyConfigError([WrongField(NAME, self.name, needed)])
        return super().initial_state(priors, feature_count)

    def decide(self, context: Context, state: ModelMeans, rng: RandomSource) -> Action:
        """Draws one of the mixture's models."""
        probabilities = cheapest_mixture(
            state.satisfaction, state.energy_joules, context.eligible, context.sla.min_satisfaction
        )
        # Drawn among models of positive probability, so that rounding of the sum can pick no other.
        support = np.flatnonzero(probabilities)
        chosen = support[0] if rng.random() < probabilities[support[0]] else support[-1]
        return Action(int(chosen), False, state.satisfaction, None, -probabilities)


def cheapest_mixture(
    satisfaction: FloatArray, energy_joules: FloatArray, eligible: BoolArray, min_satisfaction: float
) -> FloatArray:
    """Probability per model, shape (M,), at most two above 0, of least mean joules with mean >= alpha.

    Only eligible models take part. Where none of them reaches alpha, all weight is on the best, of equally
    good ones the cheapest.
    """
    members = np.flatnonzero(eligible).tolist()
    probabilities = np.zeros(len(satisfaction))
    feasible = [m for m in members if satisfaction[m] >= min_satisfaction]
    if not feasible:
        probabilities[min(members, key=lambda m: (-satisfaction[m], energy_joules[m]))] = 1.0
        return probabilities
    best = min(feasible, key=lambda m: (energy_joules[m], m))
    least, mixed = float(energy_joules[best]), (best, best, 1.0)
    for low in (m for m in members if satisfaction[m] < min_satisfaction):
        for high in feasible:
            share = (min_satisfaction - satisfaction[low]) / (satisfaction[high] - satisfaction[low])
            joules = share * energy_joules[high] + (1.0 - share) * energy_joules[low]
            if joules < least:
                least, mixed = float(joules), (high, low, float(share))
    high, low, share = mixed
    probabilities[high] += share
    probabilities[low] += 1.0 - share
    return probabilities


class SingleModel(_Fixed):
    """One model for everything; where it is not eligible, the largest that is."""

    def __init__(self, model_id: str, model_index: int) -> None:
        self._model_id, self._model_index = model_id, model_index

    @property
    def name(self) -> str:
        """ "single:<model>"."""
        return f"single:{self._model_id}"

    def decide(self, context: Context, state: ModelMeans, rng: RandomSource) -> Action:
        """Serves the model."""
        eligible = context.eligible
        chosen = self._model_index if eligible[self._model_index] else largest_eligible(eligible)
        scores = np.zeros(len(eligible))
        scores[chosen] = -1.0
        return Action(chosen, False, state.satisfaction, None, scores)
