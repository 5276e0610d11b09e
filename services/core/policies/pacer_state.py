"""What `pacer` learns, and how it is stored."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from services.core.errors import InvalidSnapshotError
from services.core.events import FloatArray
from services.core.joint_gaussian import JointGaussian
from services.core.model_change import ModelChange
from services.core.policies.energy_head import EnergyHead
from services.core.policies.pacer_answering import Answering
from services.core.policies.pacer_awaited import Awaited
from services.core.policies.pacer_control import ClassControl
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.pacer_surprise import Surprise
from services.core.policies.pacer_view import ControlView, DecisionView
from services.core.policies.stored_arrays import Arrays, checked, class_count

_MAX_CONTEXTS = 16_000
_MAX_CLASSES = 256
_LOAD_RATE = 0.01


@dataclass(slots=True)
class PacerState:
    """Both heads, shared by all SLA classes, and each class's control.

    Attributes:
        satisfaction: belief over satisfaction logits.
        energy: belief over ln J.
        decisions: of all classes.
        classes: by name, the one used longest ago first.
        answering: how much more often dissatisfied users answer.
        awaited: labels on their way.
        surprise: whether labels lately contradict what is believed.
        load_factors: moving mean of what decisions saw of the workers' load, shape (M,); exactly 1 where
            they never saw any.
        prior_logits: of satisfaction, as the operator stated it, shape (M,); not stored, the zoo has it.

    """

    satisfaction: JointGaussian
    energy: EnergyHead
    decisions: int
    classes: dict[str, ClassControl]
    surprise: Surprise
    answering: Answering
    awaited: Awaited
    load_factors: FloatArray
    prior_logits: FloatArray

    def see_load(self, load_factors: FloatArray | None) -> None:
        """One decision's load; None: idle workers. Lambda is solved at the usual load."""
        self.load_factors += _LOAD_RATE * (
            (1.0 if load_factors is None else load_factors) - self.load_factors
        )

    def control(self, sla_class: str) -> ClassControl:
        """A class's control, a new one at its first mention; it becomes the newest used.

        All classes share one number of contexts, so that the state's size is bounded.
        """
        feature_count = self.satisfaction.mean.shape[1]
        found = self.classes.pop(sla_class, None)
        if found is None:
            if len(self.classes) >= _MAX_CLASSES:
                del self.classes[next(iter(self.classes))]
            found = ClassControl.empty(0, feature_count)
        self.classes[sla_class] = found
        return found

    def context_capacity(self, window: int) -> int:
        """Contexts that every class may keep."""
        return min(window, _MAX_CONTEXTS // len(self.classes))

    def view(self, parameters: PacerParameters, sla_class: str | None = None) -> DecisionView:
        """What decisions need, as of now, of one class or of all: shares memory with the state."""
        return DecisionView(
            np.array([self.satisfaction.mean, self.energy.belief.mean]),
            self.satisfaction.blocks,
            self.energy.log_scale,
            {
                name: ControlView.of(parameters, control.log_lambda, self._mean_sds(control))
                for name, control in self.classes.items()
                if sla_class in (None, name)
            },
        )

    def carried_over(self, prior: "PacerState", change: ModelChange) -> "PacerState":
        """For another list of models, from the prior over it: contexts, lambdas and surprise stay."""
        return replace(
            self,
            satisfaction=self.satisfaction.carried_over(prior.satisfaction, change),
            energy=self.energy.carried_over(prior.energy, change),
            answering=self.answering.carried_over(prior.answering, change),
            awaited=Awaited(change.rows(self.awaited.counts, prior.awaited.counts)),
            load_factors=change.rows(self.load_factors, prior.load_factors),
            prior_logits=prior.prior_logits,
        )

    def mean_sd(self, control: ClassControl) -> FloatArray:
        """Standard deviation of every model's logit at the class's mean features, shape (M,)."""
        return np.sqrt(self.satisfaction.variances(control.mean_features))

    def intercept_sds(self) -> FloatArray:
        """Of every model's logit and ln J where all features but the first are 0, shape (2, M)."""
        heads = (self.satisfaction, self.energy.belief)
        return np.sqrt(np.stack([belief.blocks[:, 0, 0] for belief in heads]))

    def _mean_sds(self, control: ClassControl) -> FloatArray:
        """The same once the labels on their way have come, and that of ln J, shape (2, M)."""
        energy = self.energy.belief.variances(control.mean_features)
        return np.array([self.awaited.sds_once_come(self.mean_sd(control)), np.sqrt(energy)])

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Complete, by name."""
        numbers = [
            [c.steps, c.filled, c.next_row, len(c.contexts), c.log_lambda, c.infeasible]
            for c in self.classes.values()
        ]
        d = self.satisfaction.mean.shape[1]
        means = [c.mean_features for c in self.classes.values()]
        contexts = [c.contexts for c in self.classes.values()]
        return {
            "satisfaction_mean": self.satisfaction.mean,
            "satisfaction_covariance": self.satisfaction.packed(),
            **self.energy.arrays(),
            "decisions": np.array([float(self.decisions)]),
            "surprise": self.surprise.array(),
            **self.answering.arrays(),
            "awaited": self.awaited.counts,
            "load_factors": self.load_factors,
            "class_names": np.array(list(self.classes), dtype=np.str_),
            "class_numbers": np.array(numbers, np.float64).reshape(-1, 6),
            "class_means": np.array(means, np.float64).reshape(-1, d),
            "class_contexts": np.concatenate([np.zeros((0, d), np.float16), *contexts]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, prior_logits: FloatArray, feature_count: int) -> "PacerState":
        """Inverse of `arrays`. Raises InvalidSnapshotError."""
        m, d, n = len(prior_logits), feature_count, class_count(arrays)
        packed = (JointGaussian.packed_length(m, d),)
        found = checked(
            arrays,
            {
                "satisfaction_mean": (m, d),
                "satisfaction_covariance": packed,
                "energy_mean": (m, d),
                "energy_covariance": packed,
                "energy_numbers": (4, m),
                "energy_level": (1,),
                "decisions": (1,),
                "surprise": (2,),
                "answering_numbers": (3,),
                "answering_sensitivity": (m, d),
                "awaited": (m,),
                "load_factors": (m,),
                "class_numbers": (n, 6),
                "class_means": (n, d),
            },
            also={"class_names", "class_contexts"},
        )
        return cls(
            JointGaussian.unpacked(found["satisfaction_mean"], found["satisfaction_covariance"]),
            EnergyHead.from_arrays(found),
            int(found["decisions"][0]),
            dict(_controls(arrays, found, d)),
            Surprise(*found["surprise"].tolist()),
            Answering.from_arrays(found),
            Awaited(found["awaited"]),
            found["load_factors"],
            prior_logits,
        )


def _controls(arrays: Arrays, found: Arrays, feature_count: int) -> list[tuple[str, ClassControl]]:
    contexts, controls, begin = arrays["class_contexts"], [], 0
    total = int(found["class_numbers"][:, 3].sum())
    if contexts.dtype != np.float16 or contexts.shape != (total, feature_count):
        raise InvalidSnapshotError(f"memory: class_contexts of shape {contexts.shape}, expected {total} rows")
    for name, numbers, means in zip(
        arrays["class_names"], found["class_numbers"], found["class_means"], strict=True
    ):
        steps, filled, next_row, capacity = (int(number) for number in numbers[:4])
        rows = contexts[begin : begin + capacity].copy()
        control = ClassControl(
            steps, float(numbers[4]), means.copy(), rows, filled, next_row, bool(numbers[5])
        )
        controls.append((str(name), control))
        begin += capacity
    return controls
