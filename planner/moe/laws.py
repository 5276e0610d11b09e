"""Scaling laws with numbers: those that were published, each with its source and what it was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.moe.forms import CLARK, DENSE, FINE_GRAINED, JOINT, Form
from services.core.events import FloatArray


@dataclass(frozen=True, slots=True)
class Fitted:
    """Ranges (least, most) of the runs that a law was fitted on; None where they are not published."""

    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    experts: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Law:
    """A form with its coefficients."""

    name: str
    form: Form
    coefficients: Mapping[str, float]
    fitted: Fitted
    source: str

    def loss(self, params: Any, tokens: Any, experts: Any) -> FloatArray:
        """Loss in nats per token; N as `form.counted` says, D tokens, E experts; broadcasts."""
        loss: FloatArray = np.exp(self.form.log_loss(self.coefficients, params, tokens, experts))
        return loss

    def outside(self, params: float, tokens: float, experts: float) -> tuple[str, ...]:
        """Which of the three lie outside the fitted range, each with that range; empty if none does."""
        asked = (
            ("N", params, self.fitted.params),
            ("D", tokens, self.fitted.tokens),
            ("E", experts, self.fitted.experts),
        )
        return tuple(
            f"law: {name} {value:.3g} is outside the fitted {span[0]:.3g} to {span[1]:.3g}"
            for name, value, span in asked
            if span is not None and not span[0] <= value <= span[1]
        )


JOINT_MOE = Law(
    "joint-moe",
    JOINT,
    {
        "a": 35.91,
        "alpha": -0.1889,
        "delta": -0.2285,
        "gamma": 0.0098,
        "b": 35.98,
        "beta": -0.1775,
        "omega": 0.5529,
        "zeta": -0.0259,
        "e_start": 2.0732,
        "e_max": 290.4521,
        "c": 1.3637,
    },
    Fitted(params=(0.0, 2.7e9), experts=(1.0, 32.0)),
    "Ludziejewski et al. 2025, arXiv 2502.05172: over 280 runs, up to 2.7e9 active parameters",
)
CLARK_S_BASE = Law(
    "clark-s-base",
    CLARK,
    {"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104, "e_start": 1.847, "e_max": 314.478},
    Fitted(params=(1.5e7, 1.3e9), tokens=(1.3e11, 1.3e11), experts=(1.0, 512.0)),
    "Clark et al. 2022, arXiv 2202.01169, table 3, S-BASE: 130e9 tokens",
)
KRAJEWSKI_64 = Law(
    "krajewski-64",
    FINE_GRAINED,
    {
        "a": 18.1,
        "alpha": 0.115,
        "b": 30.8,
        "beta": 0.147,
        "g": 2.1,
        "gamma": 0.58,
        "granularity": 8.0,
        "c": 0.47,
    },
    Fitted(tokens=(1.6e10, 1.3e11), experts=(64.0, 64.0)),
    "Krajewski et al. 2024, arXiv 2402.07871, table 1: 64 experts, here at granularity 8",
)
CHINCHILLA = Law(
    "chinchilla",
    DENSE,
    {"A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28, "E": 1.69},
    Fitted(params=(4.4e7, 1.6e10), tokens=(5e9, 5e11), experts=(1.0, 1.0)),
    "Hoffmann et al. 2022, arXiv 2203.15556, approach 3: dense models",
)
PUBLISHED = (JOINT_MOE, CLARK_S_BASE, KRAJEWSKI_64, CHINCHILLA)
"""Laws with their published coefficients. Yun et al. 2024 print none, so theirs takes a fit."""
DEFAULT_LAW = "joint-moe"


def published_laws() -> dict[str, Law]:
    """`PUBLISHED` by name."""
    return {law.name: law for law in PUBLISHED}
