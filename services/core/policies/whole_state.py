"""What policies share whose decisions need everything they learn, and that keep no SLA ledger."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from services.core.events import FloatArray
from services.core.policies.base import ClassView, ModelPrior

StateT = TypeVar("StateT")


class _Learner(Protocol):
    @property
    def learns_from_served(self) -> bool: ...


class _Stored(Protocol[StateT]):
    def state_arrays(self, state: StateT) -> dict[str, FloatArray]: ...

    def state_from_arrays(
        self, arrays: Mapping[str, FloatArray], priors: Sequence[ModelPrior], feature_count: int
    ) -> StateT: ...


class WholeState:
    """The verbs of `Policy` that such a policy need not write itself."""

    @property
    def learns_energy(self: _Learner) -> bool:
        """As from labels."""
        return self.learns_from_served

    @property
    def keeps_memory(self) -> bool:
        """False: decisions need the whole state."""
        return False

    def learn_decision(
        self,
        state: Any,
        features: FloatArray,
        model_index: int,
        sla: ClassView,
        load_factors: FloatArray | None = None,
    ) -> None:
        """Nothing: decisions teach only what their labels and joules say."""

    def debt_bounds(self, state: Any, sla: ClassView) -> tuple[float, float]:
        """None: the debt is not used."""
        return -math.inf, math.inf

    def decision_arrays(self: _Stored[StateT], state: StateT) -> dict[str, FloatArray]:
        """The state itself."""
        return self.state_arrays(state)

    def decision_state_from_arrays(
        self: _Stored[StateT],
        arrays: Mapping[str, FloatArray],
        priors: Sequence[ModelPrior],
        feature_count: int,
    ) -> StateT:
        """The state itself."""
        return self.state_from_arrays(arrays, priors, feature_count)
