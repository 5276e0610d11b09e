"""The statements of Yun et al. 2024 (abstract, sections 5 and 6), each evaluated with the law at hand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from planner.moe.allocation import bounded_cost, bounded_loss
from planner.moe.study import BudgetAnswer, Question, Study

FEW, MANY, OVERTRAINED = (4, 8), (16, 32), 8
"""Experts that the statements speak of."""
TRAINING_RATIO = (2.5, 3.5)
SMALLER_SHARE = (0.70, 0.85)
COST_SHARE = (0.316, 0.381)
"""What the paper found."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement and what this study says of it."""

    statement: str
    """What the paper states."""
    numbers: tuple[str, ...]
    """What comes out here, one text per budget."""
    agrees: tuple[bool, ...]
    """Whether that is what the paper states, parallel to `numbers`."""

    @property
    def verdict(self) -> str:
        """agree, differ, or at how many budgets it agrees."""
        if all(self.agrees):
            return "agree"
        return f"agree at {sum(self.agrees)} of {len(self.agrees)} budgets" if any(self.agrees) else "differ"


_Evaluated = tuple[str, bool]


def needed_experts() -> tuple[int, ...]:
    """Experts that a study must consider for all findings."""
    return (1, *FEW, *MANY)


def evaluate(study: Study) -> tuple[Finding, ...]:
    """All findings; empty where the study leaves out experts that they are about, or a model fits nowhere."""
    question = study.question
    if not set(needed_experts()) <= set(question.experts) or not all(map(_is_comparable, study.answers)):
        return ()
    statements: tuple[tuple[str, Callable[[Question, BudgetAnswer], _Evaluated]], ...] = (
        ("4 or 8 experts are the cheapest to serve of all loss-optimal models of one quality", _efficient),
        ("that choice takes 2.5 to 3.5 times the training of the choice that trains cheapest", _training),
        ("16 or 32 experts, trained longer, are better at the serving cost of the best of 4 or 8", _better),
        ("and are 70 to 85 % smaller than their loss-optimal size", _smaller),
        (
            "over-trained, 8 experts serve the dense quality at 31.6 to 38.1 % of its cost",
            _overtrained,
        ),
    )
    return tuple(
        _finding(text, (test(question, answer) for answer in study.answers)) for text, test in statements
    )


def _is_comparable(answer: BudgetAnswer) -> bool:
    equal = answer.same_quality.values()
    choices = [*answer.optimal.values(), *(found[1] for found in equal if found is not None)]
    return None not in equal and all(choice.cost is not None for choice in choices)


def _finding(statement: str, evaluated: Iterable[_Evaluated]) -> Finding:
    numbers, agrees = zip(*evaluated, strict=True)
    return Finding(statement, tuple(numbers), tuple(agrees))


def _same_quality_costs(question: Question, answer: BudgetAnswer) -> dict[int, float]:
    """Dollars per million tokens by experts, each loss-optimal and as good as the dense model."""
    return {
        experts: question.cost_of(found[1].allocation.params, experts)
        for experts, found in answer.same_quality.items()
        if found is not None
    }


def _efficient(question: Question, answer: BudgetAnswer) -> _Evaluated:
    costs = _same_quality_costs(question, answer)
    first = min(costs, key=lambda experts: costs[experts])
    listed = ", ".join(f"{experts}: {cost / costs[1]:.2f}" for experts, cost in costs.items())
    return f"cheapest with {first} experts (cost over dense by experts: {listed})", first in FEW


def _training(question: Question, answer: BudgetAnswer) -> _Evaluated:
    budgets = {e: found[0] for e, found in answer.same_quality.items() if found is not None}
    least = min(budgets, key=lambda experts: budgets[experts])
    ratios = {experts: budgets[experts] / budgets[least] for experts in FEW}
    listed = ", ".join(f"{experts} experts {ratio:.2f} times" for experts, ratio in ratios.items())
    agrees = all(TRAINING_RATIO[0] <= ratio <= TRAINING_RATIO[1] for ratio in ratios.values())
    return f"{listed} the training of {least} experts for the same quality", agrees


def _few_bound(question: Question, answer: BudgetAnswer) -> tuple[float, float]:
    """Cost and loss of the cheaper loss-optimal model of 4 or 8 experts at the full budget."""
    found = [answer.optimal[experts].allocation for experts in FEW]
    costs = [question.cost_of(allocation.params, allocation.experts) for allocation in found]
    first = costs.index(min(costs))
    return costs[first], found[first].loss


def _better(question: Question, answer: BudgetAnswer) -> _Evaluated:
    cost, loss = _few_bound(question, answer)
    texts, better = [], []
    for experts in MANY:
        found = bounded_cost(question.law, answer.budget_flops, experts, cost, question.cost_of)
        texts.append(f"{experts} experts {found.loss:.4f}" if found else f"{experts} experts: none so cheap")
        better.append(found is not None and found.loss < loss)
    return f"loss {', '.join(texts)} against {loss:.4f}", all(better)


def _smaller(question: Question, answer: BudgetAnswer) -> _Evaluated:
    cost, _ = _few_bound(question, answer)
    shares = {}
    for experts in MANY:
        found = bounded_cost(question.law, answer.budget_flops, experts, cost, question.cost_of)
        best = answer.optimal[experts].allocation.params
        shares[experts] = 1.0 - found.params / best if found else 1.0
    listed = ", ".join(f"{experts} experts {100 * share:.0f} % smaller" for experts, share in shares.items())
    return listed, all(SMALLER_SHARE[0] <= share <= SMALLER_SHARE[1] for share in shares.values())


def _overtrained(question: Question, answer: BudgetAnswer) -> _Evaluated:
    dense = answer.optimal[1].allocation
    found = bounded_loss(question.law, answer.budget_flops, OVERTRAINED, dense.loss)
    if found is None:
        return "8 experts do not reach the dense model's loss", False
    share = question.cost_of(found.params, OVERTRAINED) / question.cost_of(dense.params, 1)
    return f"{100 * share:.1f} % of its cost, {found.params / dense.params:.2f} of its active parameters", (
        COST_SHARE[0] <= share <= COST_SHARE[1]
    )
