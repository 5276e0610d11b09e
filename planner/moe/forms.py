"""Shapes of scaling laws: loss from parameters N, training tokens D and experts E.

Every function broadcasts its arguments, so that one call gives the losses of all
runs under many coefficients at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

Coefficients = Mapping[str, Any]
"""Coefficient name -> number or array."""


class Counted(Enum):
    """Which parameters a law's N counts; training takes 6 N D operations in the law's own N."""

    BASE = "of the dense model that the experts were added to"
    ACTIVE = "that work on one token"


@dataclass(frozen=True, slots=True)
class Form:
    """A law without its numbers."""

    name: str
    log_loss: Callable[[Coefficients, Any, Any, Any], Any]
    """(coefficients, N, D, E) -> ln L, L in nats per token."""
    coefficients: tuple[str, ...]
    """Their names."""
    positive: frozenset[str]
    """Those that are fitted as logarithms."""
    counted: Counted
    has_tokens: bool = True
    """False where the law says nothing of D; such a law allocates no budget."""
    experts: tuple[int, ...] = ()
    """The only E that it speaks of; empty: any."""


def saturated_experts(experts: Any, start: Any, top: Any) -> Any:
    """Ehat: experts as far as they help, from `start` for one of them to `top` (Clark et al. 2022).

    1/Ehat = 1/(E - 1 + (1/E_start - 1/E_max)^-1) + 1/E_max.
    """
    return 1.0 / (1.0 / (experts - 1.0 + 1.0 / (1.0 / start - 1.0 / top)) + 1.0 / top)


def _yun(c: Coefficients, params: Any, tokens: Any, experts: Any) -> Any:
    log_experts = np.log(saturated_experts(experts, c["e_start"], c["e_max"]))
    log_params = np.log(params)
    terms = (
        c["A"] * np.exp(-c["alpha"] * log_params)
        + c["B"] * np.exp(-c["beta"] * log_experts)
        + c["C"] * np.exp(-c["gamma"] * np.log(tokens))
        + c["F"]
    )
    return np.log(terms) + c["d"] * log_params * log_experts


def _joint(c: Coefficients, params: Any, tokens: Any, experts: Any) -> Any:
    log_experts = np.log(saturated_experts(experts, c["e_start"], c["e_max"]))
    model = c["delta"] * log_experts + (c["alpha"] + c["gamma"] * log_experts) * np.log(params)
    data = c["omega"] * log_experts + (c["beta"] + c["zeta"] * log_experts) * np.log(tokens)
    return np.log(c["a"] * np.exp(model) + c["b"] * np.exp(data) + c["c"])


def _clark(c: Coefficients, params: Any, tokens: Any, experts: Any) -> Any:
    # Decimal logarithms, as published.
    log_experts = np.log10(saturated_experts(experts, c["e_start"], c["e_max"]))
    log_params = np.log10(params)
    log_loss = c["a"] * log_params + c["b"] * log_experts + c["c"] * log_params * log_experts + c["d"]
    return np.log(10.0) * log_loss


def _fine_grained(c: Coefficients, params: Any, tokens: Any, experts: Any) -> Any:
    # N of the publication counts all parameters: d^2 (8E+4) per block, of which 12 d^2 are active.
    total = params * (8.0 * experts + 4.0) / 12.0
    model = (c["g"] * c["granularity"] ** -c["gamma"] + c["a"]) * total ** -c["alpha"]
    return np.log(c["c"] + model + c["b"] * tokens ** -c["beta"])


def _dense(c: Coefficients, params: Any, tokens: Any, experts: Any) -> Any:
    return np.log(c["E"] + c["A"] * params ** -c["alpha"] + c["B"] * tokens ** -c["beta"])


_EXPERT_BOUNDS = ("e_start", "e_max")

YUN = Form(
    "yun",
    _yun,
    ("A", "alpha", "B", "beta", "C", "gamma", "F", "d", *_EXPERT_BOUNDS),
    frozenset(("A", "B", "C", "F", *_EXPERT_BOUNDS)),
    Counted.BASE,
)
"""Yun et al. 2024: ln L = ln(A/N^alpha + B/Ehat^beta + C/D^gamma + F) + d ln N ln Ehat."""
JOINT = Form(
    "joint",
    _joint,
    ("a", "alpha", "delta", "gamma", "b", "beta", "omega", "zeta", *_EXPERT_BOUNDS, "c"),
    frozenset(("a", "b", "c", *_EXPERT_BOUNDS)),
    Counted.ACTIVE,
)
"""Ludziejewski et al. 2025, with x = ln Ehat:

L = a Ehat^delta N^(alpha + gamma x) + b Ehat^omega D^(beta + zeta x) + c.
"""
CLARK = Form(
    "clark", _clark, ("a", "b", "c", "d", *_EXPERT_BOUNDS), frozenset(), Counted.BASE, has_tokens=False
)
"""Clark et al. 2022: lg L = a lg N + b lg Ehat + c lg N lg Ehat + d, for 130e9 tokens."""
FINE_GRAINED = Form(
    "krajewski",
    _fine_grained,
    ("a", "alpha", "b", "beta", "g", "gamma", "granularity", "c"),
    frozenset(),
    Counted.ACTIVE,
    experts=(64,),
)
"""Krajewski et al. 2024: L = c + (g/G^gamma + a)/N^alpha + b/D^beta, 64 experts, N total."""
DENSE = Form(
    "chinchilla",
    _dense,
    ("A", "alpha", "B", "beta", "E"),
    frozenset(("A", "B", "E")),
    Counted.ACTIVE,
    experts=(1,),
)
"""Hoffmann et al. 2022: L = E + A/N^alpha + B/D^beta, dense models."""
