"""What a plan is made of: the question, the zoo, and what the router would do with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.replay.outcomes import Outcomes
from planner.zoo_plan import Candidates, ZooPlan, hull


@dataclass(frozen=True, slots=True)
class RouterResult:
    """The router on recorded outcomes, with the models of one zoo."""

    models: tuple[str, ...]
    energy_joules: float
    """Per request, exploration included; mean over the seeds."""
    satisfaction: float


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """The cheapest zoo for one SLA target."""

    min_satisfaction: float
    plan: ZooPlan
    stability: Mapping[tuple[str, ...], float]
    """Zoo -> share of the resamples in which it is the cheapest."""
    routers: tuple[RouterResult, ...]
    """Empty unless a replay was asked for."""


@dataclass(frozen=True, slots=True)
class PlanStudy:
    """All targets of one file of outcomes."""

    outcomes: Outcomes
    candidates: Candidates
    memory_limit_gb: float | None
    joules_from: Mapping[str, str]
    """Model -> where its joules are from, for those that are not from the outcomes."""
    targets: tuple[TargetPlan, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know: of the outcomes, and of profiles that are extrapolated."""


def document(study: PlanStudy) -> dict[str, Any]:
    """Everything as JSON values."""
    found = study.candidates
    return {
        "outcomes": study.outcomes.dataset,
        "requests": len(study.outcomes),
        "memory_limit_gb": study.memory_limit_gb,
        "models": {
            model: {
                "satisfaction": float(found.satisfaction[i]),
                "energy_joules": float(found.energy_joules[i]),
                "memory_gb": float(found.memory_gb[i]) if study.memory_limit_gb is not None else None,
                "joules_from": study.joules_from.get(model, "outcomes"),
                "on_hull": model in hull(found),
            }
            for i, model in enumerate(found.model_ids)
        },
        "notes": list(study.notes),
        "plans": [_target_document(target) for target in study.targets],
    }


def _target_document(target: TargetPlan) -> dict[str, Any]:
    return {
        "min_satisfaction": target.min_satisfaction,
        "reaches": target.plan.reaches,
        "shares": dict(target.plan.shares),
        "energy_joules": target.plan.energy_joules,
        "satisfaction": target.plan.satisfaction,
        "memory_gb": target.plan.memory_gb,
        "stability": {" + ".join(zoo): share for zoo, share in target.stability.items()},
        "router": [
            {
                "models": list(result.models),
                "energy_joules": result.energy_joules,
                "satisfaction": result.satisfaction,
            }
            for result in target.routers
        ],
    }
