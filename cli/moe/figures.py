"""Figures of a mixture-of-experts study; each title says what the figure shows."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.demo.theme import Theme
from cli.picture import PALETTE, Picture, drawn, plain_log
from planner.moe.allocation import allocated
from planner.moe.study import BudgetAnswer, Question, Study, best, cheapest

_GRID = 60


def draw_figures(study: Study, theme: Theme) -> dict[str, Picture]:
    """Loss and cost against experts, iso-loss and iso-cost curves, and what over-training buys.

    A figure of costs is left out where no model fits on the accelerators.
    """
    drawings: dict[str, tuple[Callable[[Figure, Theme], str], float]] = {
        "experts": (lambda figure, _: _by_experts(figure, study), 4.2),
        "iso": (lambda figure, theme: _iso(figure.add_subplot(), study, theme), 4.8),
        "trade": (lambda figure, theme: _trade(figure.add_subplot(), study, theme), 4.6),
    }
    served = {name: any(map(_is_served, answers)) for name, answers in _shown(study).items()}
    if len(study.question.experts) < 2:
        served["experts"] = served["iso"] = False
    return {name: drawn(draw, theme, height) for name, (draw, height) in drawings.items() if served[name]}


def _shown(study: Study) -> dict[str, tuple[BudgetAnswer, ...]]:
    middle = (middle_answer(study),)
    return {"experts": study.answers, "iso": middle, "trade": middle}


def _is_served(answer: BudgetAnswer) -> bool:
    return all(choice.cost is not None for choice in answer.optimal.values())


def middle_answer(study: Study) -> BudgetAnswer:
    """The answer to the middle budget, which figures of one budget show."""
    return sorted(study.answers, key=lambda answer: answer.budget_flops)[len(study.answers) // 2]


def _by_experts(figure: Figure, study: Study) -> str:
    left, right = figure.subplots(1, 2)
    for colour, answer in zip(PALETTE, study.answers, strict=False):
        experts = list(answer.optimal)
        label = f"{answer.budget_flops:.0e} FLOPs"
        losses = [choice.allocation.loss for choice in answer.optimal.values()]
        costs = [study.question.cost_of(c.allocation.params, e) for e, c in answer.optimal.items()]
        left.plot(experts, losses, "o-", color=colour, label=label)
        right.plot(experts, costs, "o-", color=colour)
    for axes, name in ((left, "loss (nats/token)"), (right, "serving cost ($/M output tokens)")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(study.question.experts, [str(experts) for experts in study.question.experts])
        axes.set_xlabel("experts (loss-optimal)")
        axes.set_ylabel(name)
        axes.grid(axis="y")
    right.set_yscale("log")
    plain_log(right.yaxis)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    answer = middle_answer(study)
    found = cheapest(list(answer.optimal.values()))
    if found is None:
        return "Loss and serving cost by experts"
    number, budget = found.allocation.experts, answer.budget_flops
    return f"Of loss-optimal models, {number} experts are the cheapest to serve at {budget:.0e} FLOPs"


def _iso(axes: Axes, study: Study, theme: Theme) -> str:
    """Contours over N and E at one training budget."""
    question, answer = study.question, middle_answer(study)
    tops = [choice.allocation.params for choice in answer.optimal.values()]
    params = np.geomspace(min(tops) / 30.0, max(tops) * 3.0, _GRID)
    experts = np.array(question.experts, dtype=np.float64)
    losses = np.array([[_loss(question, answer, n, int(e)) for n in params] for e in experts])
    costs = np.array([[question.cost_of(float(n), int(e)) for n in params] for e in experts])
    solid = axes.contour(params / 1e9, experts, losses, 10, colors=theme.accent, linewidths=1.1)
    axes.clabel(solid, fmt="%.3f", fontsize=8)
    finite = costs[np.isfinite(costs)]
    # Tiny models all cost about the same: then there are no lines to draw.
    if finite.size and finite.max() * 0.95 > finite.min() * 1.05:
        levels = np.geomspace(finite.min() * 1.05, finite.max() * 0.95, 9)
        shown = np.ma.masked_invalid(costs)
        dashed = axes.contour(
            params / 1e9, experts, shown, levels, colors=theme.alarm, linewidths=1.0, linestyles="dashed"
        )
        axes.clabel(dashed, fmt="%.2f $", fontsize=8)
    axes.plot([n / 1e9 for n in tops], experts, "o", color=theme.ink, markersize=5)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_yscale("log", base=2)
    axes.set_yticks(experts, [f"{e:g}" for e in experts])
    axes.set_xlabel(f"N (billions of parameters {question.law.form.counted.value})")
    axes.set_ylabel("experts")
    return f"Equal loss (solid) and equal serving cost (dashed) at {answer.budget_flops:.0e} FLOPs"


def _loss(question: Question, answer: BudgetAnswer, params: float, experts: int) -> float:
    return allocated(question.law, answer.budget_flops, experts, params).loss


def _trade(axes: Axes, study: Study, theme: Theme) -> str:
    """Loss against serving cost, from the loss-optimal size downwards, at one budget."""
    question, answer = study.question, middle_answer(study)
    for colour, experts in zip(PALETTE, question.experts, strict=False):
        top = answer.optimal[experts].allocation.params
        params = np.geomspace(top / 20.0, top, _GRID)
        costs = [question.cost_of(float(n), experts) for n in params]
        losses = [_loss(question, answer, float(n), experts) for n in params]
        axes.plot(costs, losses, color=colour, label=f"{experts} experts" if experts > 1 else "dense")
        axes.plot(costs[-1:], losses[-1:], "o", color=colour)
    axes.axhline(answer.max_loss, color=theme.muted, linestyle=(0, (5, 3)), linewidth=1)
    axes.axvline(answer.max_cost, color=theme.muted, linestyle=(0, (1, 2)), linewidth=1)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_xlabel("serving cost ($/M output tokens)")
    axes.set_ylabel("loss (nats/token)")
    axes.legend(frameon=False, fontsize=9)
    first, second = cheapest(list(answer.within_loss.values())), best(list(answer.within_cost.values()))
    if first is None or second is None:
        return "Smaller models, trained longer (dots: loss-optimal; lines: the bounds)"
    return (
        f"Cheapest within the loss: {first.allocation.experts} experts; "
        f"best within the cost: {second.allocation.experts}"
    )
