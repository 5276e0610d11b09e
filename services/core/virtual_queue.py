"""The virtual queue Q: how far the mean satisfaction lags behind what was promised (Lyapunov control)."""

import math
from dataclasses import dataclass


def updated_queue(virtual_queue: float, min_satisfaction: float, satisfaction: float) -> float:
    """Q(t+1) = max(0, Q(t) + alpha - A(t)), after one label of a served answer (MESS+, virtual queue)."""
    return max(0.0, virtual_queue + min_satisfaction - satisfaction)


@dataclass(frozen=True, slots=True)
class QueueChange:
    """Several queue updates as one: Q becomes max(Q + total, floor).

    `max(0, .)` does not commute with summing, so a batch needs both numbers: +1, -3, +2 from Q = 0 give
    2, where their sum would give 0.

    Attributes:
        total: sum of alpha - A over the updates, S.
        floor: what Q is at least afterwards, m; minus infinity for no update at all.

    """

    total: float = 0.0
    floor: float = -math.inf

    @classmethod
    def of(cls, change: float) -> "QueueChange":
        """One update by `change` = alpha - A."""
        return cls(change, 0.0)

    def then(self, later: "QueueChange") -> "QueueChange":
        """This change followed by `later`."""
        return QueueChange(self.total + later.total, max(self.floor + later.total, later.floor))

    def applied_to(self, virtual_queue: float) -> float:
        """Q after this change."""
        return max(virtual_queue + self.total, self.floor)
