"""What decisions need of what `pacer` learned: a small part of it, which routers fetch often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.core.events import FloatArray
from services.core.model_change import ModelChange
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.stored_arrays import Arrays, checked, class_count


@dataclass(frozen=True, slots=True)
class ControlView:
    """What a decision needs of its SLA class, for M models.

    Attributes:
        log_lambda: ln of the dual variable, J.
        mean_sds: standard deviations of every model's mean logit and mean ln J, shape (2, M).
        noise_sds: of the exploratory noise on both, shape (2, M).

    """

    log_lambda: float
    mean_sds: FloatArray
    noise_sds: FloatArray

    @classmethod
    def of(cls, parameters: PacerParameters, log_lambda: float, mean_sds: FloatArray) -> "ControlView":
        """With the noise that follows."""
        return cls(log_lambda, mean_sds, parameters.exploration_sd(mean_sds))


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What a decision needs of the learned state; nothing in it may be changed.

    Attributes:
        weights: of satisfaction logits and of ln J, shape (2, M, d).
        blocks: covariance of each model's weights of satisfaction, shape (M, d, d).
        energy_log_scale: added to the mean of ln J for mean joules, shape (M,).
        controls: by SLA class.

    """

    weights: FloatArray
    blocks: FloatArray
    energy_log_scale: FloatArray
    controls: Mapping[str, ControlView]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """By name; symmetric blocks as their lower triangles."""
        _, m, d = self.weights.shape
        rows, columns = np.tril_indices(d)
        controls = self.controls.values()
        mean_sds = np.array([control.mean_sds for control in controls], np.float64).reshape(-1, 2, m)
        return {
            "weights": self.weights[0],
            "blocks": self.blocks[:, rows, columns],
            "energy_weights": self.weights[1],
            "energy_log_scale": self.energy_log_scale,
            "class_names": np.array(list(self.controls), dtype=np.str_),
            "log_lambdas": np.array([control.log_lambda for control in controls], np.float64),
            "mean_sds": mean_sds[:, 0],
            "energy_sds": mean_sds[:, 1],
        }

    def carried_over(
        self,
        initial: "DecisionView",
        initial_sds: FloatArray,
        change: ModelChange,
        parameters: PacerParameters,
    ) -> "DecisionView":
        """For another list of models; what is believed of a new one is its prior alone.

        `initial` is the view of that prior, `initial_sds` have its standard deviations, see `ControlView`.
        """
        controls = {
            name: ControlView.of(parameters, control.log_lambda, _both(change, control.mean_sds, initial_sds))
            for name, control in self.controls.items()
        }
        return DecisionView(
            _both(change, self.weights, initial.weights),
            change.rows(self.blocks, initial.blocks),
            change.rows(self.energy_log_scale, initial.energy_log_scale),
            controls,
        )

    @classmethod
    def from_arrays(
        cls, arrays: Arrays, model_count: int, feature_count: int, parameters: PacerParameters
    ) -> "DecisionView":
        """Inverse of `arrays`. Raises InvalidSnapshotError."""
        m, d, n = model_count, feature_count, class_count(arrays)
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
        mean_sds = np.stack([found["mean_sds"], found["energy_sds"]], 1)
        return cls(
            np.stack([found["weights"], found["energy_weights"]]),
            blocks,
            found["energy_log_scale"],
            {
                name: ControlView.of(parameters, log_lambda, sds)
                for name, log_lambda, sds in zip(names, found["log_lambdas"].tolist(), mean_sds, strict=True)
            },
        )


def _both(change: ModelChange, old: FloatArray, initial: FloatArray) -> FloatArray:
    """The rows of both heads, shape (2, M, ...)."""
    return np.stack([change.rows(*pair) for pair in zip(old, initial, strict=True)])
