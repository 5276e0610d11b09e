"""The published algorithm, MESS+, in two faithful modes.

`messplus-2024` is the workshop paper, `messplus-2025` the one at NeurIPS 2025. Both explore with a
probability that fades with the step, learn from exploration steps alone, and otherwise serve
argmin_m V * E_m(t) + Q(t) * (alpha - A^_m(t)), ties to the cheaper model. The queue Q itself is kept by the
fold, from every labelled served answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.core.events import FloatArray
from services.core.exploration import exploration_probability
from services.core.model_change import ModelChange
from services.core.policies.base import Action, Context, ModelPrior, RandomSource
from services.core.policies.parameters import number
from services.core.policies.selection import largest_eligible, smallest_score
from services.core.policies.whole_state import WholeState
from services.core.predictor import (
    LinearPredictor,
    NetworkPredictor,
    Predictor,
    checked_arrays,
    initial_network_parameters,
    parameter_count,
)

PredictorT = TypeVar("PredictorT", bound=Predictor)
_MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MessPlus2024Parameters:
    """Parameters of `messplus-2024`.

    Attributes:
        energy_weight: V, 1/J, in [0, 1e6].
        exploration_scale: c, in [0, 1e6].
        learning_rate: eta of the linear models, in [1e-9, 1].
        initial_scale: standard deviation of the common start vector, in [0, 10].
        seed: of that vector, in [0, 2^63).

    """

    energy_weight: float = number(0.1, 0.0, 1e6, "1/J")
    exploration_scale: float = number(3.0, 0.0, 1e6)
    learning_rate: float = number(0.01, 1e-9, 1.0)
    initial_scale: float = number(0.01, 0.0, 10.0)
    seed: int = number(0, 0, _MAX_SEED)


@dataclass(frozen=True, slots=True)
class MessPlus2025Parameters:
    """Parameters of `messplus-2025`.

    Attributes:
        energy_weight: V, 1/J, in [0, 1e6].
        exploration_scale: c, in [0, 1e6].
        learning_rate: of SGD, in [1e-9, 10]; the default is the one of the authors' configurations.
        momentum: of SGD, in [0, .999].
        weight_decay: of SGD, in [0, 1].
        gradient_clip: largest norm of the gradient, in [1e-9, 1e9].
        seed: of the hidden layer's start values, in [0, 2^63).

    """

    energy_weight: float = number(1e-4, 0.0, 1e6, "1/J")
    exploration_scale: float = number(0.1, 0.0, 1e6)
    learning_rate: float = number(0.06, 1e-9, 10.0)
    momentum: float = number(0.9, 0.0, 0.999)
    weight_decay: float = number(0.01, 0.0, 1.0)
    gradient_clip: float = number(1.0, 1e-9, 1e9)
    seed: int = number(0, 0, _MAX_SEED)


class _MessPlus(WholeState, Generic[PredictorT]):
    """What both modes share: decision rule, exploration schedule, learning from exploration alone."""

    def __init__(self, energy_weight: float, exploration_scale: float, root: int) -> None:
        self._energy_weight, self._exploration_scale, self._root = energy_weight, exploration_scale, root

    @property
    def energy_weight(self) -> float:
        """V, 1/J."""
        return self._energy_weight

    @property
    def learns_from_served(self) -> bool:
        """False: labels of exploiting steps move the queue only."""
        return False

    def decide(self, context: Context, state: PredictorT, rng: RandomSource) -> Action:
        """Explores with probability min(1, c / t^(1/root)), else serves the smallest score."""
        satisfaction = state.predict_one(context.features)
        sla = context.sla
        scores = self._energy_weight * context.energy_joules
        scores += sla.virtual_queue * (sla.min_satisfaction - satisfaction)
        probability = exploration_probability(self._exploration_scale, sla.step, self._root)
        explored = rng.random() < probability
        chosen = (
            self._explored_model(context)
            if explored
            else smallest_score(scores, context.energy_joules, context.eligible)
        )
        return Action(chosen, explored, satisfaction, None, scores)

    def _explored_model(self, context: Context) -> int:
        return largest_eligible(context.eligible)

    def learn_exploration(self, state: PredictorT, features: FloatArray, satisfaction: FloatArray) -> None:
        """One step of the predictor on the labels of all models."""
        state.learn_one(features, satisfaction)

    def learn_label(
        self,
        state: PredictorT,
        features: FloatArray,
        model_index: int,
        satisfaction: float,
        *,
        audited: bool = False,
    ) -> None:
        """Nothing: see `learns_from_served`."""

    def answer_ratio(self, state: PredictorT) -> float:
        """1: labels are taken as they come."""
        return 1.0

    def learn_energy(
        self, state: PredictorT, features: FloatArray, model_index: int, energy_joules: float
    ) -> None:
        """Nothing: joules are the running means that the fold keeps."""

    def state_arrays(self, state: PredictorT) -> dict[str, FloatArray]:
        """The predictor's arrays."""
        return state.arrays()


class MessPlus2024(_MessPlus[LinearPredictor]):
    """MESS+ of 2024: exploration min(1, c / t^(1/3)), one linear model per language model.

    The paper serves the best of all answers when it explores, which takes labels at once: replay over
    recorded outcomes passes them as `known_satisfaction`. In live routing labels come after the answer,
    so the largest model is served.
    """

    def __init__(self, parameters: MessPlus2024Parameters) -> None:
        super().__init__(parameters.energy_weight, parameters.exploration_scale, root=3)
        self._parameters = parameters

    @property
    def name(self) -> str:
        """ "messplus-2024"."""
        return "messplus-2024"

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> LinearPredictor:
        """One common random vector for all models; the bias is the prior mean satisfaction."""
        p = self._parameters
        satisfactions = [prior.satisfaction for prior in priors]
        return LinearPredictor.initial(satisfactions, feature_count, p.learning_rate, p.initial_scale, p.seed)

    def _explored_model(self, context: Context) -> int:
        if context.known_satisfaction is None:
            return largest_eligible(context.eligible)
        return smallest_score(-context.known_satisfaction, context.energy_joules, context.eligible)

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> LinearPredictor:
        """Inverse of `state_arrays`. Raises InvalidSnapshotError."""
        return LinearPredictor.from_arrays(arrays, len(priors), feature_count, self._parameters.learning_rate)

    def carried_over(
        self, state: LinearPredictor, change: ModelChange, priors: Sequence[ModelPrior], feature_count: int
    ) -> LinearPredictor:
        """Each kept model keeps its linear model."""
        return state.carried_over(self.initial_state(priors, feature_count), change)


class MessPlus2025(_MessPlus[NetworkPredictor]):
    """MESS+ of 2025: exploration min(1, c / t^(1/4)), one small network for all models.

    When it explores it serves the largest model.
    """

    def __init__(self, parameters: MessPlus2025Parameters) -> None:
        super().__init__(parameters.energy_weight, parameters.exploration_scale, root=4)
        self._parameters = parameters

    @property
    def name(self) -> str:
        """ "messplus-2025"."""
        return "messplus-2025"

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> NetworkPredictor:
        """Predicts the prior mean satisfaction, .5 where there is none."""
        satisfactions = [prior.satisfaction for prior in priors]
        start = initial_network_parameters(satisfactions, feature_count, self._parameters.seed)
        return self._predictor(start, start * 0.0, len(priors), feature_count)

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> NetworkPredictor:
        """Inverse of `state_arrays`. Raises InvalidSnapshotError."""
        size = (parameter_count(len(priors), feature_count),)
        checked = checked_arrays(arrays, {"parameters": size, "momentum": size})
        return self._predictor(checked["parameters"], checked["momentum"], len(priors), feature_count)

    def carried_over(
        self, state: NetworkPredictor, change: ModelChange, priors: Sequence[ModelPrior], feature_count: int
    ) -> NetworkPredictor:
        """The hidden layer stays, and each kept model its row of the output layer."""
        return state.carried_over(self.initial_state(priors, feature_count), change)

    def _predictor(
        self, parameters: FloatArray, momentum: FloatArray, model_count: int, feature_count: int
    ) -> NetworkPredictor:
        p = self._parameters
        return NetworkPredictor(
            parameters,
            momentum,
            model_count,
            feature_count,
            learning_rate=p.learning_rate,
            momentum_decay=p.momentum,
            weight_decay=p.weight_decay,
            gradient_clip=p.gradient_clip,
        )
