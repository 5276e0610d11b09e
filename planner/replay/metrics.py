"""What one run gave, in the numbers of the result document."""

from dataclasses import dataclass

import numpy as np

from planner.replay.driver import Trace
from services.core.events import FloatArray

ROUNDING = 1e-9
"""Slack of every comparison with a target: sums of labels carry rounding errors."""
SETTLED_REQUESTS = 1000
"""Requests after which the running mean has to be near its target."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers of one run.

    Attributes:
        energy_joules_per_request: mean joules of all generations, explored ones of every model included.
        satisfaction: mean of the served answers, judged or not.
        exploration_energy_share: share of all joules that generations took which were only run to learn.
        first_compliant_request: first request, from 1, from which on the running mean stays at the target;
            None: at the end it is below.
        worst_shortfall_after_1000: most that the running mean lacks to the target after request 1,000, >= 0;
            None for a stream that is not longer.
        model_shares: share of the requests that each model served, shape (M,).
        labelled_share: share of the requests that were judged.

    """

    energy_joules_per_request: float
    satisfaction: float
    exploration_energy_share: float
    first_compliant_request: int | None
    worst_shortfall_after_1000: float | None
    model_shares: tuple[float, ...]
    labelled_share: float


def running_mean(values: FloatArray) -> FloatArray:
    """Mean of the first 1, 2, ... values, shape (n,)."""
    result: FloatArray = np.cumsum(values) / np.arange(1, len(values) + 1)
    return result


def measure(trace: Trace, model_count: int, min_satisfaction: float) -> Metrics:
    """Numbers of a trace against its target."""
    shortfall = min_satisfaction - running_mean(trace.satisfaction)
    total, count = float(trace.energy_joules.sum()), len(trace.models)
    late = shortfall[SETTLED_REQUESTS:]
    return Metrics(
        energy_joules_per_request=total / count,
        satisfaction=float(trace.satisfaction.mean()),
        exploration_energy_share=float(trace.explored_joules.sum()) / total if total else 0.0,
        first_compliant_request=_compliant_from(shortfall),
        worst_shortfall_after_1000=max(0.0, float(late.max())) if late.size else None,
        model_shares=tuple((np.bincount(trace.models, minlength=model_count) / count).tolist()),
        labelled_share=float(trace.labelled.mean()),
    )


def _compliant_from(shortfall: FloatArray) -> int | None:
    short = np.flatnonzero(shortfall > ROUNDING)
    first = int(short[-1]) + 2 if short.size else 1
    return first if first <= len(shortfall) else None
