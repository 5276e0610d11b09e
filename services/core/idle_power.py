"""What a meter shows while nobody is served."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdlePower"]

_MIN_WINDOWS = 20
_MEMORY_WINDOWS = 5_000
_MOST_MEDIANS = 2.0


@dataclass(slots=True)
class IdlePower:
    """A fading mean over quiet windows: a burst that nobody reported does not raise it."""

    configured_watts: float
    """P_idle until it was seen, W."""
    seen_watts: float = 0.0
    windows: float = 0.0

    @property
    def watts(self) -> float:
        """P_idle, W."""
        return self.seen_watts if self.windows >= _MIN_WINDOWS else self.configured_watts

    def observe(self, joules: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
        """Takes windows (n,) without a step."""
        if not len(joules):
            return
        self.windows = min(self.windows + len(joules), _MEMORY_WINDOWS)
        quiet = joules <= _MOST_MEDIANS * np.median(joules / seconds) * seconds
        watts = float(joules[quiet].sum() / seconds[quiet].sum())
        self.seen_watts += len(joules) / self.windows * (watts - self.seen_watts)

    def to_state(self) -> dict[str, float]:
        """As JSON values."""
        return {"seen_watts": self.seen_watts, "windows": self.windows}

    @classmethod
    def from_state(cls, configured_watts: float, state: dict[str, Any]) -> "IdlePower":
        """Inverse of `to_state`. Raises ValueError, KeyError or TypeError for what it never wrote."""
        watts, windows = float(state["seen_watts"]), float(state["windows"])
        if not (0 <= watts < float("inf") and 0 <= windows < float("inf")):
            raise ValueError(f"idle power is {watts} W over {windows} windows, must be finite and >= 0")
        return cls(configured_watts, watts, windows)
