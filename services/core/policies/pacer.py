"""`pacer`: the default policy. Serve argmin_m C_m(x) - lambda * p~_m(x).

For a request with features x and every model m it predicts the joules C_m and the satisfaction p_m, and
serves the model where joules minus lambda times an exploratory draw p~_m are least. Four parts:

* two heads (`joint_gaussian`, `energy_head`): one joint Gaussian belief over all models each, so that every
  label and every joule of a served answer teaches about all of them; no request is sent to every model;
* the draw: noise on each model's mean logit and mean ln J, as wide as they are unknown, and optimism that
  grows with the SLA debt, so that a model that was given up too early is tried again; labels on their way
  count as come (`pacer_awaited`), and what labels contradict is forgotten (`pacer_surprise`);
* lambda (`pacer_control`), joules per unit of satisfaction: solved every few requests as the value at
  which the newest contexts would have met the target; nothing to retune where units or the zoo change;
* the ledger (`services.core.ledger`): what is owed, charged by prediction and corrected by labels; a little
  more than that is aimed at, a reserve against chance that grows where satisfaction is cheap.

Classes share the heads; each has its own target, ledger, contexts and lambda. Scaling all joules, or
renaming models, changes no decision.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from services.core.events import FloatArray
from services.core.exploration import normals
from services.core.joint_gaussian import JointGaussian
from services.core.model_change import ModelChange
from services.core.policies.base import Action, ClassView, Context, ModelPrior, RandomSource
from services.core.policies.energy_head import EnergyHead
from services.core.policies.pacer_answering import Answering
from services.core.policies.pacer_awaited import Awaited
from services.core.policies.pacer_beliefs import Believed, shrink, sigmoid
from services.core.policies.pacer_control import (
    EARLY_STEPS,
    Candidates,
    ClassControl,
    SlaLedger,
    resolve,
    window_requests,
)
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.pacer_state import PacerState
from services.core.policies.pacer_surprise import Surprise
from services.core.policies.pacer_view import DecisionView
from services.core.policies.selection import smallest_score
from services.core.predictor import logit

_LEAST_CURVATURE = 0.02
_MOST_DEBT, _INFEASIBLE_DEBT = 0.2, 3.0
_INFEASIBLE_SDS = 2.0


class Pacer:
    """The policy; see the module.

    Args:
        parameters: dimensionless.

    """

    def __init__(self, parameters: PacerParameters) -> None:
        self._parameters = parameters

    @property
    def name(self) -> str:
        """ "pacer"."""
        return "pacer"

    @property
    def energy_weight(self) -> float:
        """0: there is no V; lambda is solved."""
        return 0.0

    @property
    def learns_from_served(self) -> bool:
        """True: every label of a served answer teaches."""
        return True

    @property
    def learns_energy(self) -> bool:
        """True: the energy head."""
        return True

    @property
    def keeps_memory(self) -> bool:
        """True: decisions need a small part of the state."""
        return True

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> PacerState:
        """The operator's beliefs, where stated; else every model satisfies half of the requests."""
        p, logits = self._parameters, _prior_logits(priors)
        satisfaction = JointGaussian.initial(
            logits.tolist(), feature_count, p.satisfaction_prior(feature_count)
        )
        for m, prior in enumerate(priors):
            if prior.satisfaction is None:
                satisfaction.widen_intercept(m, p.unknown_prior_sd**2 - p.prior_sd**2)
        energy = EnergyHead.initial(
            [prior.energy_joules for prior in priors], feature_count, p.energy_prior(feature_count)
        )
        answering = Answering.initial(len(priors), feature_count, p.answering_prior_sd)
        awaited, loads = Awaited(np.zeros(len(priors))), np.ones(len(priors))
        return PacerState(satisfaction, energy, 0, {}, Surprise(), answering, awaited, loads, logits)

    def decide(self, context: Context, state: PacerState | DecisionView, rng: RandomSource) -> Action:
        """Serves argmin_m C_m - lambda * p~_m. Never changes `state`."""
        believed = self._believed(context, state)
        noise = np.array(normals(rng, 2 * len(context.eligible)))
        scores = believed.scores(noise.reshape(2, -1))
        chosen = smallest_score(scores, believed.energy_joules, context.eligible)
        means = believed.satisfaction
        # The delta method: what the logit's variance means for the probability.
        variances = (means * (1.0 - means)) ** 2 * believed.variances
        return Action(
            chosen,
            False,
            means,
            variances,
            scores,
            believed.energy_joules,
            believed.dual_joules,
            context.sla.debt,
        )

    def propensities(self, context: Context, state: PacerState | DecisionView) -> FloatArray:
        """Probability that `decide` serves each model, shape (M,), over its random numbers."""
        return self._believed(context, state).propensities(context.eligible)

    def _believed(self, context: Context, state: PacerState | DecisionView) -> Believed:
        if isinstance(state, PacerState):
            state = state.view(self._parameters, context.sla.sla_class)
        return Believed(state, context, self._parameters)

    def learn_decision(
        self,
        state: PacerState,
        features: FloatArray,
        model_index: int,
        sla: ClassView,
        load_factors: FloatArray | None = None,
    ) -> None:
        """Takes the context in, and solves lambda anew when it is time."""
        p = self._parameters
        state.decisions += 1
        state.awaited.decided(model_index, sla.label_rate)
        state.see_load(load_factors)
        if state.decisions % p.resolve_every == 0 and p.forgetting:
            self._forget(state)
        control = state.control(sla.sla_class)
        control.push(features, state.context_capacity(p.window))
        if control.steps < EARLY_STEPS or control.steps % p.resolve_every == 0:
            self._resolve(state, control, sla)

    def _resolve(self, state: PacerState, control: ClassControl, sla: ClassView) -> None:
        mean_sd = state.mean_sd(control)
        candidates = self._candidates(state, control, state.awaited.sds_once_come(mean_sd), sla.debt)
        ledger = _ledger(sla)
        resolve(self._parameters, control, candidates, ledger)
        mean = state.satisfaction.mean @ control.mean_features
        hopeful = mean + _INFEASIBLE_SDS * mean_sd
        control.infeasible = bool(sigmoid(hopeful).max() < sla.min_satisfaction)

    def _candidates(
        self, state: PacerState, control: ClassControl, mean_sd: FloatArray, debt: float
    ) -> Candidates:
        p, belief = self._parameters, state.satisfaction
        contexts = control.recent()
        logits = contexts @ belief.mean.T
        variances = belief.variances_of_each(contexts)
        towards_half = shrink(variances)
        noise_sd = p.exploration_sd(mean_sd)
        noise = np.random.Generator(np.random.PCG64(control.steps)).standard_normal(logits.shape)
        draws = logits + p.optimism(debt) * mean_sd + noise_sd * noise
        strict = logits - p.strictness * np.sqrt(variances) if p.strictness else logits
        joules = np.exp(contexts @ state.energy.belief.mean.T + state.energy.log_scale) * state.load_factors
        return Candidates(sigmoid(strict * towards_half), sigmoid(draws * towards_half), joules)

    def _forget(self, state: PacerState) -> None:
        p, feature_count = self._parameters, state.satisfaction.mean.shape[1]
        share = p.forgetting * p.resolve_every
        state.satisfaction.forget(p.satisfaction_prior(feature_count), share)
        state.energy.belief.forget(p.energy_prior(feature_count), share)

    def debt_bounds(self, state: PacerState, sla: ClassView) -> tuple[float, float]:
        """Least and most that D may be: what cannot be paid back within the window is forgiven."""
        control = state.classes.get(sla.sla_class)
        steps = control.steps if control else 0
        window = window_requests(self._parameters, _ledger(sla), steps)
        infeasible = control is not None and control.infeasible
        return -window, _INFEASIBLE_DEBT if infeasible else _MOST_DEBT * window

    def learn_exploration(self, state: PacerState, features: FloatArray, satisfaction: FloatArray) -> None:
        """Every label there is teaches, as one of a served answer would."""
        for model_index, label in enumerate(satisfaction.tolist()):
            if not math.isnan(label):
                self.learn_label(state, features, model_index, label)

    def learn_label(
        self,
        state: PacerState,
        features: FloatArray,
        model_index: int,
        satisfaction: float,
        *,
        audited: bool = False,
    ) -> None:
        """One Newton step on the label's log-likelihood."""
        belief, answering = state.satisfaction, state.answering
        state.awaited.labelled(model_index)
        offset = 0.0 if audited else answering.log_ratio
        expected = 1.0 / (1.0 + math.exp(offset - float(belief.mean[model_index] @ features)))
        curvature = max(expected * (1.0 - expected), _LEAST_CURVATURE)
        if state.surprise.add(satisfaction - expected, expected * (1.0 - expected)):
            self._doubt(state)
        answering.learn(belief, model_index, features, satisfaction - expected, curvature, audited=audited)

    def _doubt(self, state: PacerState) -> None:
        """Takes what was learned back a little: of models that are served no more, no label would."""
        p, belief = self._parameters, state.satisfaction
        # Never less certain than before the first label, however long the contradiction lasts.
        if belief.blocks[:, 0, 0].mean() < p.unknown_prior_sd**2:
            belief.forget(p.satisfaction_prior(belief.mean.shape[1]), p.surprised_forgetting)
        belief.draw_intercepts(state.prior_logits, p.surprised_return)

    def answer_ratio(self, state: PacerState) -> float:
        """As learned from audited labels; 1 without any."""
        return math.exp(state.answering.log_ratio)

    def learn_energy(
        self, state: PacerState, features: FloatArray, model_index: int, energy_joules: float
    ) -> None:
        """One step of the energy head; lambda follows where it finds the joules' unit."""
        shift = state.energy.learn(model_index, features, energy_joules)
        if shift:
            for control in state.classes.values():
                control.log_lambda += shift

    def carried_over(
        self,
        state: PacerState | DecisionView,
        change: ModelChange,
        priors: Sequence[ModelPrior],
        feature_count: int,
    ) -> PacerState | DecisionView:
        """What is believed of the kept models tells of the new ones what their prior correlation says."""
        p, prior = self._parameters, self.initial_state(priors, feature_count)
        if isinstance(state, PacerState):
            return state.carried_over(prior, change)
        return state.carried_over(prior.view(p), prior.intercept_sds(), change, p)

    def state_arrays(self, state: PacerState) -> dict[str, FloatArray]:
        """Both heads, packed, and every class's control."""
        return state.arrays()

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> PacerState:
        """Inverse of `state_arrays`. Raises InvalidSnapshotError."""
        return PacerState.from_arrays(arrays, _prior_logits(priors), feature_count)

    def decision_arrays(self, state: PacerState) -> dict[str, FloatArray]:
        """What decisions need: both means, each model's own covariance, lambda per class."""
        return state.view(self._parameters).arrays()

    def decision_state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> DecisionView:
        """Inverse of `decision_arrays`. Raises InvalidSnapshotError."""
        return DecisionView.from_arrays(arrays, len(priors), feature_count, self._parameters)


def _prior_logits(priors: Sequence[ModelPrior]) -> FloatArray:
    """Of satisfaction, half of the requests where nothing was stated, shape (M,)."""
    return np.array([0.0 if prior.satisfaction is None else logit(prior.satisfaction) for prior in priors])


def _ledger(sla: ClassView) -> SlaLedger:
    return SlaLedger(sla.min_satisfaction, sla.debt, sla.label_rate, sla.labelled)
