"""How to spend a training budget: for the least loss, for a bounded loss, or for a bounded serving cost."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from planner.moe.laws import Law
from services.core.errors import ConfigError, ConfigProblem

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0
"""Operations of training per parameter and token: forward and backward pass."""
_LOG_PARAMS = (np.log(1e6), np.log(1e14))
_TOLERANCE = 1e-10

CostOf = Callable[[float, int], float]
"""(N as the law counts it, E) -> dollars per output token; infinite where the model fits on no machine."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A model, how long it is trained, and its loss."""

    experts: int
    params: float
    """N, as the law counts it."""
    tokens: float
    """D."""
    loss: float
    """Nats per token."""

    @property
    def training_flops(self) -> float:
        """6 N D."""
        return FLOPS_PER_PARAMETER_AND_TOKEN * self.params * self.tokens


def check_allocates(law: Law, experts: int) -> None:
    """Raises ConfigError where the law cannot divide a budget for this number of experts."""
    if not law.form.has_tokens:
        allowed = "a law that knows training tokens: this one holds for a single number of them"
        raise ConfigError([ConfigProblem("moe", "--law", law.name, allowed)])
    if law.form.experts and experts not in law.form.experts:
        known = ", ".join(map(str, law.form.experts))
        raise ConfigError([ConfigProblem("moe", "--experts", str(experts), f"{law.name} knows only {known}")])


def allocated(law: Law, budget_flops: float, experts: int, params: float) -> Allocation:
    """The model of `params` that spends the whole budget."""
    tokens = budget_flops / (FLOPS_PER_PARAMETER_AND_TOKEN * params)
    return Allocation(experts, params, tokens, float(law.loss(params, tokens, experts)))


def loss_optimal(law: Law, budget_flops: float, experts: int) -> Allocation:
    """The least loss that the budget buys with this number of experts. Raises ConfigError (see above)."""
    check_allocates(law, experts)

    def loss(log_params: float) -> float:
        return allocated(law, budget_flops, experts, float(np.exp(log_params))).loss

    found = minimize_scalar(loss, bounds=_LOG_PARAMS, method="bounded", options={"xatol": _TOLERANCE})
    return allocated(law, budget_flops, experts, float(np.exp(found.x)))


def bounded_loss(law: Law, budget_flops: float, experts: int, max_loss: float) -> Allocation | None:
    """Algorithm 1: the smallest model, trained on the whole budget, whose loss stays within `max_loss`.

    Bisection on N below the loss-optimal one, where loss falls with N; the smallest model is the cheapest to
    serve. None where even the loss-optimal model misses the bound.
    """
    best = loss_optimal(law, budget_flops, experts)
    if best.loss > max_loss:
        return None

    def excess(log_params: float) -> float:
        return allocated(law, budget_flops, experts, float(np.exp(log_params))).loss - max_loss

    log_best = float(np.log(best.params))
    if excess(log_best) >= 0.0 or excess(_LOG_PARAMS[0]) <= 0.0:
        return best if excess(log_best) >= 0.0 else allocated(law, budget_flops, experts, 1e6)
    return allocated(
        law, budget_flops, experts, float(np.exp(brentq(excess, _LOG_PARAMS[0], log_best, xtol=_TOLERANCE)))
    )


def bounded_cost(
    law: Law, budget_flops: float, experts: int, max_cost: float, cost_of: CostOf
) -> Allocation | None:
    """Algorithm 2: the least loss whose serving cost per token stays within `max_cost`.

    The loss-optimal model if it is cheap enough, else the largest one that is, trained longer. None where no
    model is.
    """
    best = loss_optimal(law, budget_flops, experts)
    if cost_of(best.params, experts) <= max_cost:
        return best
    low, high = _LOG_PARAMS[0], float(np.log(best.params))
    if cost_of(float(np.exp(low)), experts) > max_cost:
        return None
    # Bisection by hand: costs jump where another number of accelerators becomes the cheapest.
    while high - low > _TOLERANCE:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cost_of(float(np.exp(middle)), experts) <= max_cost else (low, middle)
    return allocated(law, budget_flops, experts, float(np.exp(low)))


def budget_for_loss(law: Law, experts: int, loss: float) -> float | None:
    """The least training budget, in FLOPs, that reaches a loss; None where it is not from 1e15 to 1e30."""

    def excess(log_budget: float) -> float:
        return loss_optimal(law, float(np.exp(log_budget)), experts).loss - loss

    low, high = np.log(1e15), np.log(1e30)
    if excess(low) < 0.0 or excess(high) > 0.0:
        return None
    return float(np.exp(brentq(excess, low, high, xtol=1e-9)))
