"""The cheapest zoo: which models to keep in memory so that an SLA class costs the fewest joules."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.replay.outcomes import Outcomes
from services.core.events import FloatArray
from services.core.policies.baselines import cheapest_mixture

_ROUNDING = 1e-12
_STABILITY_STREAM = 11


@dataclass(frozen=True, slots=True)
class Candidates:
    """Models that a zoo may be made of, M of them."""

    model_ids: tuple[str, ...]
    satisfaction: FloatArray
    """Mean per model, shape (M,), in [0, 1]."""
    energy_joules: FloatArray
    """Mean per request, shape (M,), > 0."""
    memory_gb: FloatArray
    """Of each model, shape (M,); zeros where memory is no matter."""


@dataclass(frozen=True, slots=True)
class ZooPlan:
    """A zoo and the mixture that serves from it."""

    shares: Mapping[str, float]
    """Model -> share of the requests, above 0: the models of the zoo, one or two."""
    energy_joules: float
    """Per request."""
    satisfaction: float
    memory_gb: float
    reaches: bool
    """False: no zoo within the memory reaches the target, and this is the one of the highest satisfaction."""


def candidates_from(
    outcomes: Outcomes, memory_gb: Mapping[str, float], joules: Mapping[str, FloatArray] | None = None
) -> Candidates:
    """Means over the outcomes; `joules` replaces those of a model, request by request."""
    stated = joules or {}
    means = [
        float(stated[model].mean() if model in stated else outcomes.energy_joules[:, i].mean())
        for i, model in enumerate(outcomes.model_ids)
    ]
    memory = [memory_gb.get(model, 0.0) for model in outcomes.model_ids]
    return Candidates(
        outcomes.model_ids, outcomes.satisfaction.mean(axis=0), np.array(means), np.array(memory)
    )


def cheapest_zoo(candidates: Candidates, min_satisfaction: float, memory_limit_gb: float) -> ZooPlan | None:
    """The zoo of least expected joules; None where not even one model fits.

    The best mixture lies on the lower convex hull of (joules, satisfaction) and so takes two models at most:
    all single models and pairs that fit are all zoos that need to be looked at. Of equally cheap zoos the one
    of less memory, then of fewer models.
    """
    fits = [
        members
        for count in (1, 2)
        for members in itertools.combinations(range(len(candidates.model_ids)), count)
        if candidates.memory_gb[list(members)].sum() <= memory_limit_gb + _ROUNDING
    ]
    plans = [_mixed(candidates, members, min_satisfaction) for members in fits]
    reaching = [plan for plan in plans if plan.reaches]
    if reaching:
        return min(
            reaching, key=lambda plan: (round(plan.energy_joules, 9), plan.memory_gb, len(plan.shares))
        )
    return min(plans, key=lambda plan: (-plan.satisfaction, plan.energy_joules, plan.memory_gb), default=None)


def stability(
    outcomes: Outcomes,
    candidates: Candidates,
    min_satisfaction: float,
    memory_limit_gb: float,
    resamples: int,
) -> dict[tuple[str, ...], float]:
    """How often which zoo is the cheapest when the requests are drawn anew; shares that sum to 1."""
    rng = np.random.default_rng(_STABILITY_STREAM)
    found: dict[tuple[str, ...], float] = {}
    scale = candidates.energy_joules / outcomes.energy_joules.mean(axis=0)
    for _ in range(resamples):
        rows = rng.integers(0, len(outcomes), len(outcomes))
        drawn = Candidates(
            candidates.model_ids,
            outcomes.satisfaction[rows].mean(axis=0),
            outcomes.energy_joules[rows].mean(axis=0) * scale,
            candidates.memory_gb,
        )
        plan = cheapest_zoo(drawn, min_satisfaction, memory_limit_gb)
        if plan is not None:
            zoo = tuple(plan.shares)
            found[zoo] = found.get(zoo, 0.0) + 1.0 / resamples
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def hull(candidates: Candidates) -> tuple[str, ...]:
    """Models on the lower convex hull of (joules, satisfaction), from the cheapest to the best."""
    order = sorted(
        range(len(candidates.model_ids)),
        key=lambda i: (candidates.energy_joules[i], -candidates.satisfaction[i]),
    )
    kept: list[int] = []
    for i in order:
        if kept and candidates.satisfaction[i] <= candidates.satisfaction[kept[-1]]:
            continue
        while len(kept) > 1 and _steepness(candidates, kept[-2], i) >= _steepness(
            candidates, kept[-2], kept[-1]
        ):
            kept.pop()
        kept.append(i)
    return tuple(candidates.model_ids[i] for i in kept)


def only(outcomes: Outcomes, models: Sequence[str]) -> Outcomes:
    """The outcomes of these models alone."""
    at = [i for i, model in enumerate(outcomes.model_ids) if model in models]
    return Outcomes(
        outcomes.dataset,
        outcomes.request_ids,
        outcomes.benchmarks,
        outcomes.prompts,
        tuple(outcomes.model_ids[i] for i in at),
        outcomes.satisfaction[:, at],
        outcomes.energy_joules[:, at],
        None if outcomes.tokens is None else outcomes.tokens[:, at],
        outcomes.features,
        outcomes.notes,
    )


def _is_below(candidates: Candidates, first: int, middle: int, last: int) -> bool:
    """Whether the middle model gives less than a mixture of the other two that costs as much."""
    return _steepness(candidates, first, last) >= _steepness(candidates, first, middle)


def _steepness(candidates: Candidates, first: int, second: int) -> float:
    """Satisfaction per joule from one model to a dearer one."""
    rise = candidates.satisfaction[second] - candidates.satisfaction[first]
    run = candidates.energy_joules[second] - candidates.energy_joules[first]
    return float(rise / run) if run > 0.0 else float("inf")


def _mixed(candidates: Candidates, members: Sequence[int], min_satisfaction: float) -> ZooPlan:
    eligible = np.isin(np.arange(len(candidates.model_ids)), members)
    weights = cheapest_mixture(candidates.satisfaction, candidates.energy_joules, eligible, min_satisfaction)
    used = np.flatnonzero(weights > _ROUNDING)
    satisfaction = float(weights @ candidates.satisfaction)
    return ZooPlan(
        {candidates.model_ids[i]: float(weights[i]) for i in used},
        float(weights @ candidates.energy_joules),
        satisfaction,
        float(candidates.memory_gb[used].sum()),
        satisfaction >= min_satisfaction - _ROUNDING,
    )
