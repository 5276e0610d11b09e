"""What a policy is: a pure decision function and a learner, over one explicit state.

`decide` runs in every router replica against a snapshot of the state; the `learn_` verbs run in the
single learner's fold. Nothing else ever changes the state, so replaying the log rebuilds it bit for bit.
Models are numbered in the zoo's order, from smallest to largest: "the largest model" is the last one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.core.events import FloatArray
from services.core.model_change import ModelChange

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ModelPrior:
    """What an operator believes of a model beforehand; None where there is no belief.

    Attributes:
        model_id: the model.
        satisfaction: mean satisfaction, in (0, 1).
        energy_joules: mean joules per request, > 0.

    """

    model_id: str
    satisfaction: float | None = None
    energy_joules: float | None = None


@dataclass(frozen=True, slots=True)
class ClassView:
    """An SLA class as the router knows it when it decides.

    Attributes:
        min_satisfaction: alpha, in (0, 1).
        step: t of this decision, >= 1.
        virtual_queue: Q, >= 0.
        decision_debt: sum of alpha minus predicted satisfaction over past decisions.
        sla_class: its name.
        label_credit: what labels corrected of that debt so far, see `services.core.ledger`.
        label_rate: share of due answers that got a label, in (0, 1].
        labelled: answers that got one.

    """

    min_satisfaction: float
    step: int
    virtual_queue: float
    decision_debt: float
    sla_class: str = ""
    label_credit: float = 0.0
    label_rate: float = 1.0
    labelled: int = 0

    @property
    def debt(self) -> float:
        """D: satisfied requests owed, provisional where labels are on their way."""
        return self.decision_debt - self.label_credit


@dataclass(frozen=True, slots=True)
class Context:
    """One request to decide on, for M models in the zoo's order.

    Attributes:
        features: shape (d,).
        energy_joules: E_m(t), expected joules per model, shape (M,), > 0.
        eligible: which models may be chosen, shape (M,), at least one.
        sla: the request's SLA class.
        load_factors: joules at the load of each model's worker over those on an idle one, shape (M,), in
            (0, 1]; None where nothing is known of load. See `services.core.energy_model`.
        known_satisfaction: A_m(t) of every model, shape (M,), where answers are judged before one is
            served (offline replay over recorded outcomes); None in live routing, where labels come later.

    """

    features: FloatArray
    energy_joules: FloatArray
    eligible: BoolArray
    sla: ClassView
    known_satisfaction: FloatArray | None = None
    load_factors: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """A decision, with all that its propensity can be computed from.

    Attributes:
        model_index: the served model.
        explored: whether every other eligible model runs too, to learn from.
        satisfaction_means: A^_m(t) in [0, 1], shape (M,).
        satisfaction_variances: shape (M,), or None where the policy has none.
        scores: shape (M,); the smallest eligible one wins an exploiting decision. Where the policy
            randomises, minus each model's probability.
        energy_joules: joules that the policy itself predicts per model, shape (M,); None where it took
            the context's.
        dual_joules: lambda, joules that a unit of satisfaction may cost; 0 where the policy has none.
        debt: D as used; 0 where the policy has none.

    """

    model_index: int
    explored: bool
    satisfaction_means: FloatArray
    satisfaction_variances: FloatArray | None
    scores: FloatArray
    energy_joules: FloatArray | None = None
    dual_joules: float = 0.0
    debt: float = 0.0


class RandomSource(Protocol):
    """Uniform random numbers; `exploration.DecisionRandom` and `numpy.random.Generator` are such."""

    def random(self) -> float:
        """The next number in [0, 1)."""


StateT = TypeVar("StateT")


class Policy(Protocol[StateT]):
    """One way to choose models. Implementations are immutable: parameters in, no state inside."""

    @property
    def name(self) -> str:
        """Name in `zoo.yaml`, for example "messplus-2025"."""

    @property
    def energy_weight(self) -> float:
        """V: satisfaction-queue units per joule, 1/J; 0 where the policy has none."""

    @property
    def learns_from_served(self) -> bool:
        """Whether `learn_decision` and `learn_label` do anything; only then the fold keeps every context."""

    @property
    def learns_energy(self) -> bool:
        """Whether `learn_energy` does anything; only then the fold keeps every context."""

    @property
    def keeps_memory(self) -> bool:
        """Whether decisions need less than is learned: then routers get the `decision_arrays` alone."""

    def initial_state(self, priors: Sequence[ModelPrior], feature_count: int) -> StateT:
        """The state before any event, for models with these priors, in the zoo's order.

        Raises PolicyConfigError where the policy cannot do without a prior that is missing.
        """

    def decide(self, context: Context, state: StateT, rng: RandomSource) -> Action:
        """Chooses a model. Never changes `state`."""

    def learn_decision(
        self,
        state: StateT,
        features: FloatArray,
        model_index: int,
        sla: ClassView,
        load_factors: FloatArray | None = None,
    ) -> None:
        """Learns from a decision as the log has it, in place; `sla` is its class after the charge.

        `load_factors` are those of its `Context`.
        """

    def debt_bounds(self, state: StateT, sla: ClassView) -> tuple[float, float]:
        """Least and most that the class's debt D may be; the ledger forgives what lies beyond."""

    def learn_exploration(self, state: StateT, features: FloatArray, satisfaction: FloatArray) -> None:
        """Learns from one exploration step, in place.

        `features` has shape (d,); `satisfaction` shape (M,), NaN where a model gave no labelled answer.
        """

    def learn_label(
        self,
        state: StateT,
        features: FloatArray,
        model_index: int,
        satisfaction: float,
        *,
        audited: bool = False,
    ) -> None:
        """Learns from the label, in [0, 1], of a served answer, in place.

        `audited`: who is judged was drawn independently of the answer.
        """

    def answer_ratio(self, state: StateT) -> float:
        """How many times as often the dissatisfied answer as the satisfied, of those not audited."""

    def learn_energy(
        self, state: StateT, features: FloatArray, model_index: int, energy_joules: float
    ) -> None:
        """Learns from the joules, >= 0, of a generation, in place: as they were on an idle worker."""

    def carried_over(
        self, state: StateT, change: ModelChange, priors: Sequence[ModelPrior], feature_count: int
    ) -> StateT:
        """The state, whole or as decisions need it, for another list of models, that of `priors`.

        What is believed of kept models does not change by a bit; new ones start from their priors. The old
        state must not be used any more: both may share memory.
        """

    def state_arrays(self, state: StateT) -> dict[str, FloatArray]:
        """The state as named arrays, complete: `state_from_arrays` gives an equal state back."""

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> StateT:
        """Inverse of `state_arrays`. Raises InvalidSnapshotError on missing, misshapen or bad arrays."""

    def decision_arrays(self, state: StateT) -> dict[str, FloatArray]:
        """What `decide` needs of the state, as named arrays: small enough to travel often."""

    def decision_state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> StateT:
        """A state on which `decide` acts as on the original; it need not be able to learn.

        Raises InvalidSnapshotError on missing, misshapen or bad arrays.
        """
