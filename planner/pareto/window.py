"""A run of a sweep from what was seen of its requests while the load was steady."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from planner.pareto.sweep import Configuration, Run
from planner.replies import Arrival, Reply
from services.core.events import FloatArray


@dataclass(frozen=True, slots=True)
class Window:
    """The steady part of a run, in seconds of the monotonic clock; its joules, None without a meter."""

    start_seconds: float
    end_seconds: float
    joules: float | None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_seconds - self.start_seconds

    def holds(self, seconds: float) -> bool:
        """Whether a moment lies in it."""
        return self.start_seconds <= seconds < self.end_seconds


def run_of(configuration: Configuration, replies: Sequence[Reply], window: Window) -> Run | None:
    """The run that the window shows; None where no answer began in it or no token followed another.

    Tokens count where they arrive, so answers that reach over an edge of the window count in part. `replies`
    must hold all of those, also the ones that ended after the window.
    """
    tokens = sum(a.tokens for reply in replies for a in reply.arrivals if window.holds(a.seconds))
    begun = [reply for reply in replies if reply.arrivals and window.holds(reply.arrivals[0].seconds)]
    gaps = np.concatenate([*(_gaps(reply.arrivals, window) for reply in replies), np.empty(0)])
    if not begun or not len(gaps):
        return None
    return Run(
        configuration,
        _mean(reply.prompt_tokens for reply in begun),
        _mean(reply.output_tokens for reply in begun),
        tokens / window.seconds,
        _mean(reply.arrivals[0].seconds - reply.sent_seconds for reply in begun),
        float(gaps.mean()),
        float(np.quantile(gaps, 0.5)),
        float(np.quantile(gaps, 0.99)),
        float("nan") if window.joules is None else window.joules / tokens,
    )


def _gaps(arrivals: Sequence[Arrival], window: Window) -> FloatArray:
    """Seconds per token of everything that arrived in the window, but for first tokens."""
    gaps = [
        (after.seconds - before.seconds) / after.tokens
        for before, after in itertools.pairwise(arrivals)
        if window.holds(after.seconds)
        for _ in range(after.tokens)
    ]
    return np.array(gaps, dtype=np.float64)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
