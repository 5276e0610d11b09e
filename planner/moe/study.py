"""One question about mixtures of experts: what to train with these budgets, and what it costs to serve."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from planner.moe.allocation import (
    Allocation,
    bounded_cost,
    bounded_loss,
    budget_for_loss,
    loss_optimal,
)
from planner.moe.architecture import Architecture, Workload
from planner.moe.fitting import Fit
from planner.moe.laws import Law
from planner.moe.serving import Machine, ServingCost, cost_per_token, serving_cost

DEFAULT_EXPERTS = (1, 2, 4, 8, 16, 32)
DEFAULT_BUDGETS = (1e21, 1e22, 1e23)
GPU_COUNTS = (1, 2, 4, 8, 16, 32)
"""Accelerators that one model may be spread over."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        law: the law that says what a model loses.
        budgets_flops: training budgets.
        experts: numbers of experts to consider.
        workload: tokens of a request.
        machine: what it is served on.
        max_loss: bound of Algorithm 1; None: the loss of the dense model of the same budget.
        max_cost: bound of Algorithm 2, dollars per million tokens; None: the cheapest loss-optimal model's.

    """

    law: Law
    budgets_flops: tuple[float, ...]
    experts: tuple[int, ...]
    workload: Workload
    machine: Machine
    max_loss: float | None = None
    max_cost: float | None = None

    def cost_of(self, params: float, experts: int) -> float:
        """Dollars per million output tokens of a model whose N is `params` as the law counts it."""
        return cost_per_token(self.model(params, experts), self.machine, self.workload)

    def model(self, params: float, experts: int) -> Architecture:
        """The model whose N is `params` as the law counts it."""
        return Architecture.of(params, experts, self.law.form.counted)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model, its training, and what it costs to serve."""

    allocation: Allocation
    model: Architecture
    cost: ServingCost | None
    """None where it fits on no number of accelerators."""
    warnings: tuple[str, ...]
    """What is extrapolated: each number with the range that it leaves."""


@dataclass(frozen=True, slots=True)
class BudgetAnswer:
    """All that one training budget buys."""

    budget_flops: float
    optimal: dict[int, Choice]
    """By experts: the least loss."""
    max_loss: float
    """Bound of Algorithm 1."""
    within_loss: dict[int, Choice | None]
    """By experts: the cheapest to serve within that loss; None where none reaches it."""
    max_cost: float
    """Bound of Algorithm 2, dollars per million tokens."""
    within_cost: dict[int, Choice | None]
    """By experts: the least loss within that cost; None where none is cheap enough."""
    same_quality: dict[int, tuple[float, Choice] | None]
    """By experts: the budget that makes the loss-optimal model as good as the first one's, and that model."""


@dataclass(frozen=True, slots=True)
class Study:
    """A question and its answers, one per budget."""

    question: Question
    answers: tuple[BudgetAnswer, ...]
    fit: Fit | None = None
    """Where the law was fitted and not published."""


def run_study(question: Question, fit: Fit | None = None) -> Study:
    """Answers a question. Raises ConfigError where the law cannot (see `allocation.check_allocates`)."""
    return Study(question, tuple(_answer(question, budget) for budget in question.budgets_flops), fit)


def _answer(question: Question, budget: float) -> BudgetAnswer:
    law, experts = question.law, question.experts
    optimal = {e: _choice(question, loss_optimal(law, budget, e)) for e in experts}
    reference = optimal[experts[0]].allocation.loss
    max_loss = reference if question.max_loss is None else question.max_loss
    costs = [question.cost_of(choice.allocation.params, e) for e, choice in optimal.items()]
    max_cost = min(costs) if question.max_cost is None else question.max_cost
    return BudgetAnswer(
        budget,
        optimal,
        max_loss,
        {e: _maybe(question, bounded_loss(law, budget, e, max_loss)) for e in experts},
        max_cost,
        {e: _maybe(question, bounded_cost(law, budget, e, max_cost, question.cost_of)) for e in experts},
        {e: _equal(question, e, reference) for e in experts},
    )


def _equal(question: Question, experts: int, loss: float) -> tuple[float, Choice] | None:
    budget = budget_for_loss(question.law, experts, loss)
    if budget is None:
        return None
    return budget, _choice(question, loss_optimal(question.law, budget, experts))


def _maybe(question: Question, allocation: Allocation | None) -> Choice | None:
    return None if allocation is None else _choice(question, allocation)


def _choice(question: Question, allocation: Allocation) -> Choice:
    model = question.model(allocation.params, allocation.experts)
    cost = serving_cost(model, question.machine, question.workload)
    warnings = question.law.outside(allocation.params, allocation.tokens, allocation.experts)
    if cost is not None:
        warnings += question.machine.latency.outside(model.active_params, cost.batch)
    return Choice(allocation, model, cost, warnings)


def cheapest(choices: Sequence[Choice | None]) -> Choice | None:
    """The one that costs least to serve; None where none can be served."""
    served = [choice for choice in choices if choice is not None and choice.cost is not None]
    return min(served, key=lambda choice: _dollars(choice), default=None)


def best(choices: Sequence[Choice | None]) -> Choice | None:
    """The one of the least loss; None where there is none."""
    found = [choice for choice in choices if choice is not None]
    return min(found, key=lambda choice: choice.allocation.loss, default=None)


def _dollars(choice: Choice) -> float:
    return choice.cost.dollars_per_million_tokens if choice.cost else float("inf")


def choice_document(choice: Choice | None) -> dict[str, Any] | None:
    """A choice as JSON values."""
    if choice is None:
        return None
    model = choice.model
    return {
        **asdict(choice.allocation),
        "training_flops": choice.allocation.training_flops,
        "total_params": model.total_params,
        "active_params": model.active_params,
        "serving": None if choice.cost is None else asdict(choice.cost),
        "extrapolated": list(choice.warnings),
    }
