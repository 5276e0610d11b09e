"""A mixture-of-experts study as tables, for the terminal and for the page."""

from rich.table import Table

from planner.moe.fitting import Fit, optimum_interval
from planner.moe.study import BudgetAnswer, Choice, Study

HEADINGS = (
    "choice",
    "experts",
    "active N",
    "in memory",
    "tokens D",
    "loss",
    "$/M tokens",
    "GPUs",
    "batch",
)


def answer_rows(answer: BudgetAnswer) -> list[tuple[str, ...]]:
    """A budget's choices as texts, parallel to `HEADINGS`; a star marks what is extrapolated."""
    bound, cost = f"loss <= {answer.max_loss:.4f}", f"cost <= {answer.max_cost:.3g} $/M"
    rows = [_row("loss-optimal", experts, choice) for experts, choice in answer.optimal.items()]
    rows += [_row(bound, experts, choice) for experts, choice in answer.within_loss.items()]
    return rows + [_row(cost, experts, choice) for experts, choice in answer.within_cost.items()]


def _row(name: str, experts: int, choice: Choice | None) -> tuple[str, ...]:
    if choice is None:
        return (name, str(experts), "not reachable", *("-" for _ in HEADINGS[3:]))
    allocation, model, cost = choice.allocation, choice.model, choice.cost
    star = "*" if choice.warnings else ""
    served = ("fits nowhere", "-", "-")
    if cost is not None:
        served = (f"{cost.dollars_per_million_tokens:.3f}", str(cost.gpus), f"{cost.batch:.0f}")
    sizes = (f"{model.active_params / 1e9:.3g} B", f"{model.total_params / 1e9:.3g} B")
    return (
        name,
        str(experts),
        *sizes,
        f"{allocation.tokens / 1e9:.4g} B",
        f"{allocation.loss:.4f}{star}",
        *served,
    )


def answer_table(answer: BudgetAnswer) -> Table:
    """A budget's choices."""
    table = Table(title=f"Training budget {answer.budget_flops:.3g} FLOPs")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "choice" else "right", overflow="fold")
    previous = ""
    for row in answer_rows(answer):
        if previous and row[0] != previous:
            table.add_section()
        previous = row[0]
        table.add_row(*row)
    return table


def unreachable(answer: BudgetAnswer) -> list[str]:
    """What no model reaches, with the best that is reachable."""
    lines, optimal = [], answer.optimal.values()
    if not any(answer.within_loss.values()):
        best = min(choice.allocation.loss for choice in optimal)
        lines.append(
            f"{answer.budget_flops:.3g} FLOPs: no model reaches loss {answer.max_loss:g}; "
            f"the best is {best:.4f}."
        )
    if not any(answer.within_cost.values()):
        lines.append(f"{answer.budget_flops:.3g} FLOPs: no model serves for {answer.max_cost:g} $/M tokens.")
    return lines


def extrapolations(study: Study) -> list[str]:
    """Every warning once."""
    choices = [
        choice
        for answer in study.answers
        for group in (answer.optimal, answer.within_loss, answer.within_cost)
        for choice in group.values()
        if choice is not None
    ]
    kinds: dict[str, int] = {}
    for choice in choices:
        for warning in choice.warnings:
            kind = warning.split(" is outside ")
            name = f"{kind[0].rsplit(' ', 1)[0]} outside {kind[1]}"
            kinds[name] = kinds.get(name, 0) + 1
    return [f"* extrapolated, {count} of {len(choices)} models: {kind}." for kind, count in kinds.items()]


def fit_rows(fit: Fit) -> list[tuple[str, ...]]:
    """Coefficients with their intervals."""
    return [
        (name, f"{value:.6g}", *(_interval(fit.intervals[name]) if fit.intervals else ("-",)))
        for name, value in fit.law.coefficients.items()
    ]


OPTIMUM_HEADINGS = ("budget", "experts", "loss-optimal N", "90 % interval")


def optimum_rows(study: Study) -> list[tuple[str, ...]]:
    """How sure the loss-optimal sizes of a fitted law are; empty for a published one or without resamples."""
    rows: list[tuple[str, ...]] = []
    if study.fit is None or not study.fit.resampled:
        return rows
    for answer in study.answers:
        for experts, choice in answer.optimal.items():
            interval = optimum_interval(study.fit, answer.budget_flops, experts)
            if interval is not None:
                span = f"{interval[0] / 1e9:.3g} to {interval[1] / 1e9:.3g} B"
                size = f"{choice.allocation.params / 1e9:.3g} B"
                rows.append((f"{answer.budget_flops:.3g}", str(experts), size, span))
    return rows


FIT_HEADINGS = ("coefficient", "value", "90 % interval")


def fit_table(fit: Fit) -> Table:
    """The fitted law."""
    title = f"{fit.law.form.name}, {fit.law.source}: RMSLE {fit.rmsle:.3e}, mean Huber loss {fit.huber:.3e}"
    table = Table(*FIT_HEADINGS, title=title)
    for row in fit_rows(fit):
        table.add_row(*row)
    return table


def _interval(interval: tuple[float, float]) -> tuple[str]:
    return (f"{interval[0]:.4g} to {interval[1]:.4g}",)
