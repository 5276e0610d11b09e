"""A policy that goes by what each request is expected to take, in place of each model's running mean.

The published modes know one number of joules per model, E_m(t): with `energy: per-request` among their
parameters, the context's is the calibrated mean of `EnergyHead` for the request, at the workers' load.
Everything else is the policy's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from services.core.events import FloatArray
from services.core.joint_gaussian import JointGaussian
from services.core.model_change import ModelChange
from services.core.policies.base import Action, ClassView, Context, ModelPrior, Policy, RandomSource
from services.core.policies.energy_head import EnergyHead
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.stored_arrays import checked

_WEIGHTS, _LOG_SCALE = "energy_weights", "energy_log_scale"


@dataclass(frozen=True, slots=True)
class PerRequestView:
    """What decisions need: the policy's own state, weights of ln J (M, d), what makes them means (M,)."""

    inner: Any
    energy_weights: FloatArray
    energy_log_scale: FloatArray


@dataclass(frozen=True, slots=True)
class PerRequestState:
    """The policy's own state beside the belief over ln J on idle workers."""

    inner: Any
    energy: EnergyHead

    def view(self) -> PerRequestView:
        """As of now: shares memory with the state."""
        return PerRequestView(self.inner, self.energy.belief.mean, self.energy.log_scale)


class PerRequestEnergy:
    """The policy `inner` with joules per request; all that is not written here is what `inner` does.

    Attributes:
        name, energy_weight, learns_from_served: those of `inner`.
        learns_energy, keeps_memory: True.

    """

    def __init__(self, inner: Policy[Any]) -> None:
        self._inner = inner
        self.name, self.energy_weight = inner.name, inner.energy_weight
        self.learns_from_served = inner.learns_from_served
        self.learns_energy = True
        self.keeps_memory = True

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> PerRequestState:
        """The operator's joules, where stated."""
        prior = PacerParameters().energy_prior(feature_count)
        energy = EnergyHead.initial([one.energy_joules for one in priors], feature_count, prior)
        return PerRequestState(self._inner.initial_state(priors, feature_count), energy)

    def decide(self, context: Context, state: PerRequestState | PerRequestView, rng: RandomSource) -> Action:
        """As `inner` decides with these joules, which the action names."""
        view = state.view() if isinstance(state, PerRequestState) else state
        joules: FloatArray = np.exp(view.energy_weights @ context.features + view.energy_log_scale)
        if context.load_factors is not None:
            joules *= context.load_factors
        action = self._inner.decide(replace(context, energy_joules=joules), view.inner, rng)
        return replace(action, energy_joules=joules)

    def learn_decision(
        self,
        state: PerRequestState,
        features: FloatArray,
        model_index: int,
        sla: ClassView,
        load_factors: FloatArray | None = None,
    ) -> None:
        """As `inner`."""
        self._inner.learn_decision(state.inner, features, model_index, sla, load_factors)

    def debt_bounds(self, state: PerRequestState, sla: ClassView) -> tuple[float, float]:
        """As `inner`."""
        return self._inner.debt_bounds(state.inner, sla)

    def learn_exploration(
        self, state: PerRequestState, features: FloatArray, satisfaction: FloatArray
    ) -> None:
        """As `inner`."""
        self._inner.learn_exploration(state.inner, features, satisfaction)

    def learn_label(
        self,
        state: PerRequestState,
        features: FloatArray,
        model_index: int,
        satisfaction: float,
        *,
        audited: bool = False,
    ) -> None:
        """As `inner`."""
        self._inner.learn_label(state.inner, features, model_index, satisfaction, audited=audited)

    def answer_ratio(self, state: PerRequestState) -> float:
        """As `inner`."""
        return self._inner.answer_ratio(state.inner)

    def learn_energy(
        self, state: PerRequestState, features: FloatArray, model_index: int, energy_joules: float
    ) -> None:
        """One step of the energy head."""
        state.energy.learn(model_index, features, energy_joules)

    def carried_over(
        self,
        state: PerRequestState | PerRequestView,
        change: ModelChange,
        priors: Sequence[ModelPrior],
        feature_count: int,
    ) -> PerRequestState | PerRequestView:
        """What is believed of a new model's joules follows from the kept ones', in the learner."""
        inner = self._inner.carried_over(state.inner, change, priors, feature_count)
        initial = self.initial_state(priors, feature_count)
        if isinstance(state, PerRequestState):
            return PerRequestState(inner, state.energy.carried_over(initial.energy, change))
        view = initial.view()
        return PerRequestView(
            inner,
            change.rows(state.energy_weights, view.energy_weights),
            change.rows(state.energy_log_scale, view.energy_log_scale),
        )

    def state_arrays(self, state: PerRequestState) -> dict[str, FloatArray]:
        """The policy's own, and the energy head's."""
        return self._inner.state_arrays(state.inner) | state.energy.arrays()

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> PerRequestState:
        """Inverse of `state_arrays`. Raises InvalidSnapshotError."""
        m, d = len(priors), feature_count
        packed = (JointGaussian.packed_length(m, d),)
        shapes = {"energy_mean": (m, d), "energy_covariance": packed}
        own, energy = _split(arrays, shapes | {"energy_numbers": (4, m), "energy_level": (1,)})
        inner = self._inner.state_from_arrays(own, priors, feature_count)
        return PerRequestState(inner, EnergyHead.from_arrays(energy))

    def decision_arrays(self, state: PerRequestState) -> dict[str, FloatArray]:
        """The policy's own, and the means alone of the energy head."""
        view = state.view()
        energy = {_WEIGHTS: view.energy_weights, _LOG_SCALE: view.energy_log_scale}
        return self._inner.decision_arrays(state.inner) | energy

    def decision_state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> PerRequestView:
        """Inverse of `decision_arrays`. Raises InvalidSnapshotError."""
        shapes = {_WEIGHTS: (len(priors), feature_count), _LOG_SCALE: (len(priors),)}
        own, energy = _split(arrays, shapes)
        inner = self._inner.decision_state_from_arrays(own, priors, feature_count)
        return PerRequestView(inner, energy[_WEIGHTS], energy[_LOG_SCALE])


def _split(
    arrays: Mapping[str, FloatArray], shapes: Mapping[str, Sequence[int]]
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """The arrays of the inner policy, and those of these names, checked. Raises InvalidSnapshotError."""
    own = {name: array for name, array in arrays.items() if name not in shapes}
    energy = {name: array for name, array in arrays.items() if name in shapes}
    return own, checked(energy, shapes, also=set())
