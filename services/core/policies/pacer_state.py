"""What `pacer` learns, what of it decisions need, and how both are stored."""

from collections.abc import Mapping, Sequence
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
from services.core.policies.pacer_control import ClassControl
from services.core.policies.pacer_surprise import Surprise

Arrays = Mapping[str, npt.NDArray[Any]]
_MAX_CONTEXTS = 16_000
_MAX_CLASSES = 256
_LOAD_RATE = 0.01


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What a decision needs of the learned state; nothing in it may be changed.

    Attributes:
        weights: of satisfaction logits, shape (M, d).
        blocks: covariance of each model's weights, shape (M, d, d).
        energy_weights: of ln J, shape (M, d).
        energy_log_scale: added to the mean of ln J for mean joules, shape (M,).
        log_lambdas: SLA class -> ln of its dual variable, J.
        mean_sds: SLA class -> standard deviation of every model's mean logit, shape (M,).
        energy_sds: the same of mean ln J.

    """

    weights: FloatArray
    blocks: FloatArray
    energy_weights: FloatArray
    energy_log_scale: FloatArray
    log_lambdas: Mapping[str, float]
    mean_sds: Mapping[str, FloatArray]
    energy_sds: Mapping[str, FloatArray]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """By name; symmetric blocks as their lower triangles."""
        rows, columns = np.tril_indices(self.weights.shape[1])
        return {
            "weights": self.weights,
            "blocks": self.blocks[:, rows, columns],
            "energy_weights": self.energy_weights,
            "energy_log_scale": self.energy_log_scale,
            "class_names": np.array(list(self.log_lambdas), dtype=np.str_),
            "log_lambdas": np.array(list(self.log_lambdas.values()), dtype=np.float64),
            "mean_sds": _rows(self.mean_sds, len(self.weights)),
            "energy_sds": _rows(self.energy_sds, len(self.weights)),
        }

    def carried_over(self, prior: "PacerState", change: ModelChange) -> "DecisionView":
        """For another list of models; what is believed of a new one is its prior alone."""
        initial = prior.view()
        mean_sd, energy_sd = (
            np.sqrt(belief.blocks[:, 0, 0]) for belief in (prior.satisfaction, prior.energy.belief)
        )
        return DecisionView(
            change.rows(self.weights, initial.weights),
            change.rows(self.blocks, initial.blocks),
            change.rows(self.energy_weights, initial.energy_weights),
            change.rows(self.energy_log_scale, initial.energy_log_scale),
            self.log_lambdas,
            {name: change.rows(sds, mean_sd) for name, sds in self.mean_sds.items()},
            {name: change.rows(sds, energy_sd) for name, sds in self.energy_sds.items()},
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays, model_count: int, feature_count: int) -> "DecisionView":
        """Inverse of `arrays`. Raises InvalidSnapshotError."""
        m, d, n = model_count, feature_count, _class_count(arrays)
        rows, columns = np.tril_indices(d)
        found = checked(
            arrays,
            {
                "weights": (m, d),
                "blocks": (m, len(rows)),
                "energy_weights": (m, d),
                "energy_log_scale": (m,),
                "log_lambdas": (n,),
                "mean_sds": (n, m),
                "energy_sds": (n, m),
            },
            also={"class_names"},
        )
        blocks = np.empty((m, d, d))
        blocks[:, rows, columns] = blocks[:, columns, rows] = found["blocks"]
        names = [str(name) for name in arrays["class_names"]]
        return cls(
            found["weights"],
            blocks,
            found["energy_weights"],
            found["energy_log_scale"],
            dict(zip(names, found["log_lambdas"].tolist(), strict=True)),
            dict(zip(names, found["mean_sds"], strict=True)),
            dict(zip(names, found["energy_sds"], strict=True)),
        )


@dataclass(slots=True)
class PacerState:
    """Both heads, shared by all SLA classes, and each class's control.

    Attributes:
        satisfaction: belief over satisfaction logits.
        energy: belief over ln J.
        decisions: of all classes.
        classes: by name, the one used longest ago first.
        answering: how much more often dissatisfied users answer.
        surprise: whether labels lately contradict what is believed.
        load_factors: moving mean of what decisions saw of the workers' load, shape (M,); exactly 1 where
            they never saw any.

    """

    satisfaction: JointGaussian
    energy: EnergyHead
    decisions: int
    classes: dict[str, ClassControl]
    surprise: Surprise
    answering: Answering
    load_factors: FloatArray

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

    def view(self) -> DecisionView:
        """What decisions need, as of now: shares memory with the state."""
        return DecisionView(
            self.satisfaction.mean,
            self.satisfaction.blocks,
            self.energy.belief.mean,
            self.energy.log_scale,
            {name: control.log_lambda for name, control in self.classes.items()},
            {name: self.mean_sd(control) for name, control in self.classes.items()},
            {name: self.energy_sd(control) for name, control in self.classes.items()},
        )

    def carried_over(self, prior: "PacerState", change: ModelChange) -> "PacerState":
        """For another list of models, from the prior over it: contexts, lambdas and surprise stay."""
        return replace(
            self,
            satisfaction=self.satisfaction.carried_over(prior.satisfaction, change),
            energy=self.energy.carried_over(prior.energy, change),
            answering=self.answering.carried_over(prior.answering, change),
            load_factors=change.rows(self.load_factors, prior.load_factors),
        )

    def mean_sd(self, control: ClassControl) -> FloatArray:
        """Standard deviation of every model's logit at the class's mean features, shape (M,)."""
        return np.sqrt(self.satisfaction.variances(control.mean_features))

    def energy_sd(self, control: ClassControl) -> FloatArray:
        """The same of ln J, shape (M,)."""
        return np.sqrt(self.energy.belief.variances(control.mean_features))

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
            "load_factors": self.load_factors,
            "class_names": np.array(list(self.classes), dtype=np.str_),
            "class_numbers": np.array(numbers, np.float64).reshape(-1, 6),
            "class_means": np.array(means, np.float64).reshape(-1, d),
            "class_contexts": np.concatenate([np.zeros((0, d), np.float16), *contexts]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, model_count: int, feature_count: int) -> "PacerState":
        """Inverse of `arrays`. Raises InvalidSnapshotError."""
        m, d, n = model_count, feature_count, _class_count(arrays)
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
            found["load_factors"],
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


def _rows(vectors: Mapping[str, FloatArray], width: int) -> FloatArray:
    return np.array(list(vectors.values()), np.float64).reshape(-1, width)


def _class_count(arrays: Arrays) -> int:
    names = arrays.get("class_names")
    if names is None or names.ndim != 1 or names.dtype.kind != "U":
        raise InvalidSnapshotError("arrays: class_names must be a list of names")
    return len(names)


def checked(
    arrays: Arrays, shapes: Mapping[str, Sequence[int]], also: set[str]
) -> dict[str, npt.NDArray[Any]]:
    """Own copies of the float64 arrays of these shapes, all finite; `also` names further ones.

    Raises InvalidSnapshotError naming what is missing, too many or wrong.
    """
    if set(arrays) != set(shapes) | also:
        raise InvalidSnapshotError(f"arrays {sorted(arrays)}, expected {sorted(set(shapes) | also)}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype != np.float64 or array.shape != tuple(shape):
            raise InvalidSnapshotError(
                f"{name}: {array.dtype} {array.shape}, expected float64 {tuple(shape)}"
            )
        if not np.isfinite(array).all():
            raise InvalidSnapshotError(f"{name} is not finite")
    return {name: arrays[name].copy() for name in shapes}
