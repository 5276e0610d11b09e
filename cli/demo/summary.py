"""What a routed run cost and achieved, beside what its baselines would have, from records of both. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cli.demo import baselines
from cli.demo.baselines import Contender
from cli.demo.records import BaselineAnswer, Baselines, RoutedRequest, validate

__all__ = [
    "BaselineAnswer",
    "Baselines",
    "Comparison",
    "Floats",
    "RoutedRequest",
    "Summary",
    "Trace",
    "met_from",
    "summarize",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trace:
    """The run over its requests, in the order served; every array has one entry per request."""

    satisfaction: Floats
    """Labels."""
    running_satisfaction: Floats
    """Mean of all labels so far."""
    served_joules: Floats
    """Energy of the served generations, J."""
    explored_joules: Floats
    """Energy of the other generations, J."""
    virtual_queue: Floats
    """Virtual queue at each decision."""
    model_ids: tuple[str, ...]
    """The model that served each request."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The router against the best static mixture, in one way of counting energy."""

    router_joules: float
    """Joules per request of the router."""
    mixture_joules: float
    """Joules per request of the best static mixture."""
    router_kept_target: bool
    """Whether the router's satisfaction reached the target."""
    mixture_feasible: bool
    """Whether any mixture of the models reaches the target on these prompts."""

    @property
    def saving(self) -> float | None:
        """Share of the mixture's energy that the router saved; negative: it spent more; None: no energy."""
        return 1 - self.router_joules / self.mixture_joules if self.mixture_joules > 0 else None

    @property
    def won(self) -> bool:
        """Cheaper than a mixture that keeps the target, while keeping the target as well."""
        cheaper = self.router_joules < self.mixture_joules
        return self.router_kept_target and self.mixture_feasible and cheaper


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the table, the figures and the report show."""

    min_satisfaction: float
    """The target alpha, in (0, 1)."""
    duration_seconds: float
    """Length of the routed run, s."""
    trace: Trace
    """The run over its requests."""
    models: tuple[str, ...]
    """Models of the zoo, in the baselines' order."""
    model_shares: Mapping[str, float]
    """Share of the requests that each model served; sums to 1."""
    satisfaction_by_kind: Mapping[str, float]
    """Mean satisfaction of the routed run per kind of prompt."""
    met_from: int | None
    """First request, counted from 1, from which the running mean stays at the target; None: never."""
    exploration_share: float
    """Share of the run's joules that went into generations nobody was served; 0 for a run without energy."""
    standard_error: float
    """Standard error of the mean satisfaction: by how much it differs by chance from run to run."""
    router: Contender
    """The routed run."""
    router_priced_alone: float
    """J per request of the routed run, had each generation cost what the same one cost in the baselines.

    There a model has the machine, and all of a batch, to itself.
    """
    singles: tuple[Contender, ...]
    """Each model alone, in the order of `models`."""
    cheapest_feasible: Contender | None
    """The cheapest model that reaches the target alone, if any does."""
    static_mixture: Contender
    """The cheapest mixture of two models that reaches the target, from the averages of these very prompts."""
    static_mixture_with_idle: Contender
    """The same where idle energy counts: a second model must save more than it costs to keep loaded."""
    random_constrained: Contender
    """Uniform over the models that keep the running mean at the target."""

    @property
    def met(self) -> bool:
        """Whether the run's mean satisfaction reached the target."""
        return self.router.reaches(self.min_satisfaction)

    @property
    def margin(self) -> float:
        """Mean satisfaction above the target; negative: the shortfall."""
        return self.router.mean_satisfaction - self.min_satisfaction

    @property
    def without_idle(self) -> Comparison:
        """Router against mixture by the energy of their generations alone."""
        mixture = self.static_mixture
        return self._against(mixture, self.router.joules_per_request, mixture.joules_per_request)

    @property
    def with_idle(self) -> Comparison:
        """Router against mixture when each also pays for the idle power of the models it keeps loaded."""
        mixture = self.static_mixture_with_idle
        return self._against(mixture, self.router.total_joules, mixture.total_joules)

    @property
    def priced_alike(self) -> Comparison:
        """Router against mixture at the same prices: those of the baselines, of which the mixture is made."""
        mixture = self.static_mixture
        return self._against(mixture, self.router_priced_alone, mixture.joules_per_request)

    def _against(self, mixture: Contender, router_joules: float, mixture_joules: float) -> Comparison:
        return Comparison(router_joules, mixture_joules, self.met, mixture.reaches(self.min_satisfaction))


def summarize(
    requests: Sequence[RoutedRequest],
    measured: Baselines,
    *,
    min_satisfaction: float,
    idle_watts: Mapping[str, float],
    duration_seconds: float,
    seed: int,
) -> Summary:
    """Compare a routed run with baselines measured on the same prompts.

    `idle_watts` is what each loaded model draws without work, W; `duration_seconds` (s) is the time for which
    everyone is charged idle power, the routed run's; `seed` draws the random baseline. Raises ValueError for
    an empty run, for baselines without exactly the run's requests, and for figures out of range.
    """
    validate(requests, measured, min_satisfaction, idle_watts, duration_seconds)
    trace = _trace(requests)
    idle = {model: idle_watts[model] * duration_seconds / len(requests) for model in measured}
    outcomes = _outcomes(requests, measured)
    singles = baselines.single_models(outcomes, idle)
    return Summary(
        min_satisfaction=min_satisfaction,
        duration_seconds=duration_seconds,
        trace=trace,
        models=tuple(measured),
        model_shares={model: trace.model_ids.count(model) / len(requests) for model in measured},
        satisfaction_by_kind=_mean_by_kind(requests),
        met_from=met_from(trace.running_satisfaction, min_satisfaction),
        exploration_share=_exploration_share(trace),
        standard_error=_standard_error(trace.satisfaction),
        router=_router(trace, sum(idle.values())),
        router_priced_alone=_priced_alone(trace, outcomes),
        singles=singles,
        cheapest_feasible=baselines.cheapest_feasible(singles, min_satisfaction),
        static_mixture=baselines.static_mixture(singles, min_satisfaction, _active_joules),
        static_mixture_with_idle=baselines.static_mixture(singles, min_satisfaction, _total_joules),
        random_constrained=baselines.random_constrained(outcomes, idle, min_satisfaction, seed),
    )


def met_from(running_satisfaction: Floats, min_satisfaction: float) -> int | None:
    """First request, counted from 1, from which the running mean never falls below the target again."""
    below = np.flatnonzero(running_satisfaction < min_satisfaction - baselines.ROUNDING)
    first = int(below[-1]) + 2 if below.size else 1
    return first if first <= running_satisfaction.size else None


def _active_joules(contender: Contender) -> float:
    return contender.joules_per_request


def _total_joules(contender: Contender) -> float:
    return contender.total_joules


def _router(trace: Trace, idle_joules_per_request: float) -> Contender:
    return Contender(
        name="router",
        joules_per_request=float((trace.served_joules + trace.explored_joules).mean()),
        mean_satisfaction=float(trace.satisfaction.mean()),
        idle_joules_per_request=idle_joules_per_request,
        weights={},
    )


def _priced_alone(trace: Trace, outcomes: baselines.Outcomes) -> float:
    served = [outcomes.models.index(model_id) for model_id in trace.model_ids]
    alone = outcomes.joules[np.arange(len(served)), served]
    return float((alone + trace.explored_joules).mean())


def _exploration_share(trace: Trace) -> float:
    total = float(trace.served_joules.sum() + trace.explored_joules.sum())
    return float(trace.explored_joules.sum()) / total if total > 0 else 0.0


def _trace(requests: Sequence[RoutedRequest]) -> Trace:
    satisfaction = np.array([request.satisfaction for request in requests], dtype=np.float64)
    return Trace(
        satisfaction=satisfaction,
        running_satisfaction=np.cumsum(satisfaction) / np.arange(1, satisfaction.size + 1),
        served_joules=np.array([request.served_joules for request in requests], dtype=np.float64),
        explored_joules=np.array([request.explored_joules for request in requests], dtype=np.float64),
        virtual_queue=np.array([request.virtual_queue for request in requests], dtype=np.float64),
        model_ids=tuple(request.model_id for request in requests),
    )


def _outcomes(requests: Sequence[RoutedRequest], measured: Baselines) -> baselines.Outcomes:
    rows = [[answers[request.request_id] for answers in measured.values()] for request in requests]
    return baselines.Outcomes(
        models=tuple(measured),
        satisfaction=np.array([[answer.satisfaction for answer in row] for row in rows]),
        joules=np.array([[answer.energy_joules for answer in row] for row in rows]),
    )


def _mean_by_kind(requests: Sequence[RoutedRequest]) -> dict[str, float]:
    by_kind: dict[str, list[float]] = {}
    for request in requests:
        by_kind.setdefault(request.kind, []).append(request.satisfaction)
    return {kind: sum(values) / len(values) for kind, values in sorted(by_kind.items())}


def _standard_error(satisfaction: Floats) -> float:
    """Of the mean; for a single request nothing is known, so the widest: half the range."""
    if satisfaction.size < 2:
        return 0.5
    return float(satisfaction.std(ddof=1) / np.sqrt(satisfaction.size))
