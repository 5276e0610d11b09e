"""What every comparison is measured against, from every model's outcome on the run's own prompts. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-9
"""Slack of every comparison with the target: sums of labels carry rounding errors, no label is that small."""

_RANDOM_RUNS = 200


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to serve the run's prompts, and what it costs."""

    name: str
    """`router`, `single:<model>`, `static-mixture` or `random-with-constraint`."""
    joules_per_request: float
    """Mean energy of its generations per request, J."""
    mean_satisfaction: float
    """Mean label, in [0, 1]."""
    idle_joules_per_request: float
    """Idle power of the models it keeps loaded, times the run's duration, per request, J."""
    weights: Mapping[str, float]
    """Share of the requests per model, where the contender is defined by it; else empty."""

    @property
    def total_joules(self) -> float:
        """Joules per request, idle energy included."""
        return self.joules_per_request + self.idle_joules_per_request

    def reaches(self, min_satisfaction: float) -> bool:
        """Whether the mean satisfaction is at least the target."""
        return self.mean_satisfaction >= min_satisfaction - ROUNDING


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Every model's outcome on every prompt, in the order of the run."""

    models: tuple[str, ...]
    """The M models."""
    satisfaction: npt.NDArray[np.float64]
    """Labels, shape (n, M), in [0, 1]."""
    joules: npt.NDArray[np.float64]
    """Energies, shape (n, M), J."""


def single_models(outcomes: Outcomes, idle_joules: Mapping[str, float]) -> tuple[Contender, ...]:
    """Each model serving everything alone; `idle_joules` is per model and request, J."""
    joules, satisfaction = outcomes.joules.mean(axis=0), outcomes.satisfaction.mean(axis=0)
    return tuple(
        Contender(f"single:{model}", float(j), float(s), idle_joules[model], {model: 1.0})
        for model, j, s in zip(outcomes.models, joules, satisfaction, strict=True)
    )


def cheapest_feasible(singles: Sequence[Contender], min_satisfaction: float) -> Contender | None:
    """The single model with the fewest joules among those that reach the target; None if none does."""
    feasible = [single for single in singles if single.reaches(min_satisfaction)]
    return min(feasible, key=lambda single: single.joules_per_request, default=None)


def static_mixture(
    singles: Sequence[Contender], min_satisfaction: float, cost: Callable[[Contender], float]
) -> Contender:
    """The mixture of least `cost` that reaches the target on average, knowing the averages in hindsight.

    The minimum over mixtures of a line (the target) lies on the lower convex hull of (satisfaction, joules),
    so at most two models take part: a single feasible one, or one below and one above the target, mixed to
    meet it exactly. Without a feasible mixture it is the model of the highest satisfaction.
    """
    feasible = [single for single in singles if single.reaches(min_satisfaction)]
    if not feasible:
        return _renamed(max(singles, key=lambda single: (single.mean_satisfaction, -cost(single))))
    below = [single for single in singles if not single.reaches(min_satisfaction)]
    pairs = [_mixed(low, high, min_satisfaction) for low in below for high in feasible]
    return min((*map(_renamed, feasible), *pairs), key=cost)


def random_constrained(
    outcomes: Outcomes, idle_joules: Mapping[str, float], min_satisfaction: float, seed: int
) -> Contender:
    """The paper's baseline: uniform over the models that keep the running mean at the target.

    Before each request, a model qualifies if its mean satisfaction (known in hindsight), added to the
    labels so far, keeps their mean at the target; if none does, the best model serves. Mean of 200 runs.
    """
    rng, rows = np.random.default_rng(seed), np.arange(_RANDOM_RUNS)
    means = outcomes.satisfaction.mean(axis=0)
    best = np.arange(means.size) == int(means.argmax())
    labels, joules = np.zeros(_RANDOM_RUNS), np.zeros(_RANDOM_RUNS)
    for step, (satisfaction, energy) in enumerate(
        zip(outcomes.satisfaction, outcomes.joules, strict=True), 1
    ):
        qualifies = labels[:, None] + means >= min_satisfaction * step - ROUNDING
        qualifies |= ~qualifies.any(axis=1, keepdims=True) & best
        chosen = np.where(qualifies, rng.random((rows.size, means.size)), -1.0).argmax(axis=1)
        labels += satisfaction[chosen]
        joules += energy[chosen]
    count = outcomes.satisfaction.shape[0]
    return Contender(
        name="random-with-constraint",
        joules_per_request=float(joules.mean()) / count,
        mean_satisfaction=float(labels.mean()) / count,
        idle_joules_per_request=sum(idle_joules.values()),
        weights={},
    )


def _renamed(single: Contender) -> Contender:
    return replace(single, name="static-mixture")


def _mixed(low: Contender, high: Contender, min_satisfaction: float) -> Contender:
    """Both models, mixed so that their mean satisfaction is the target."""
    share = (min_satisfaction - low.mean_satisfaction) / (high.mean_satisfaction - low.mean_satisfaction)
    share = min(share, 1.0)
    return Contender(
        name="static-mixture",
        joules_per_request=(1 - share) * low.joules_per_request + share * high.joules_per_request,
        mean_satisfaction=(1 - share) * low.mean_satisfaction + share * high.mean_satisfaction,
        idle_joules_per_request=low.idle_joules_per_request + high.idle_joules_per_request,
        weights=dict.fromkeys(low.weights, 1 - share) | dict.fromkeys(high.weights, share),
    )
