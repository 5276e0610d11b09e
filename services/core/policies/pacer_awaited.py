"""Labels on their way: what has been asked need not be asked again before the answer is here.

Where labels come late, noise on a model's mean would go on at full strength for as long as nothing is
heard, though hundreds of its answers are out to be judged. So noise is drawn as if they had come.
"""

from dataclasses import dataclass

import numpy as np

from services.core.events import FloatArray

_KEPT = 0.998
_LABEL_PRECISION = 0.2
"""What a label tells about a mean logit: p (1 - p) where neither answer is sure."""


@dataclass(slots=True)
class Awaited:
    """Labels that are expected and have not come.

    Attributes:
        counts: of each model, shape (M,); they fade, for some never come.

    """

    counts: FloatArray

    def decided(self, model_index: int, label_rate: float) -> None:
        """A decision whose label comes with this probability."""
        self.counts *= _KEPT
        self.counts[model_index] += label_rate

    def labelled(self, model_index: int) -> None:
        """One has come."""
        self.counts[model_index] = max(0.0, self.counts[model_index] - 1.0)

    def sds_once_come(self, sds: FloatArray) -> FloatArray:
        """What standard deviations of mean logits, shape (M,), will be once all have come."""
        result: FloatArray = sds / np.sqrt(1.0 + _LABEL_PRECISION * self.counts * sds**2)
        return result
