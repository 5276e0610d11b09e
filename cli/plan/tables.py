"""Plans as tables, for the terminal and for the page."""

from cli.plan.study import PlanStudy, TargetPlan
from planner.zoo_plan import hull

MODEL_HEADINGS = ("model", "satisfaction", "J/request", "memory", "on the hull", "joules from")
PLAN_HEADINGS = (
    "target",
    "cheapest zoo",
    "J/request",
    "satisfaction",
    "memory",
    "same zoo in",
    "router, J/request",
)


def model_rows(study: PlanStudy) -> list[tuple[str, ...]]:
    """The candidates, from the cheapest."""
    found = study.candidates
    on_hull = hull(found)
    rows: list[tuple[str, ...]] = []
    for i in found.energy_joules.argsort(kind="stable"):
        model = found.model_ids[i]
        rows.append(
            (
                model,
                f"{100 * found.satisfaction[i]:.2f} %",
                f"{found.energy_joules[i]:.4g}",
                "-" if study.memory_limit_gb is None else f"{found.memory_gb[i]:g} GB",
                "yes" if model in on_hull else "no",
                study.joules_from.get(model, "outcomes"),
            )
        )
    return rows


def plan_rows(study: PlanStudy) -> list[tuple[str, ...]]:
    """One line per target."""
    return [_plan(study, target) for target in study.targets]


def _plan(study: PlanStudy, target: TargetPlan) -> tuple[str, ...]:
    plan = target.plan
    routed = "; ".join(
        f"{result.energy_joules:.4g} at {100 * result.satisfaction:.1f} % with {' + '.join(result.models)}"
        for result in target.routers
    )
    return (
        f"{100 * target.min_satisfaction:.1f} %",
        " + ".join(f"{100 * share:.1f} % {model}" for model, share in plan.shares.items()),
        f"{plan.energy_joules:.4g}",
        f"{100 * plan.satisfaction:.2f} %",
        "-" if study.memory_limit_gb is None else f"{plan.memory_gb:g} GB",
        f"{100 * target.stability.get(tuple(plan.shares), 0.0):.0f} % of resamples",
        routed or "-",
    )


def unreachable(study: PlanStudy) -> list[str]:
    """Targets that no zoo reaches, with the best that one does."""
    within = "" if study.memory_limit_gb is None else f" within {study.memory_limit_gb:g} GB"
    return [
        f"No zoo{within} reaches {100 * target.min_satisfaction:g} %: the best, "
        f"{' + '.join(target.plan.shares)}, gives {100 * target.plan.satisfaction:.2f} %."
        for target in study.targets
        if not target.plan.reaches
    ]
