"""Features of recorded prompts, by the source that routers use."""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from planner.replay.outcomes import Outcomes
from services.core.events import FloatArray


class FeatureSource(Protocol):
    """Text to features; the router's own is given by whoever puts the parts together."""

    def features(self, text: str) -> FloatArray:
        """Of a prompt, shape (d,), rounded as the log rounds them."""


def request_features(
    outcomes: Outcomes, source: FeatureSource, watch: Callable[[Iterable[str]], Iterable[str]] = iter
) -> FloatArray:
    """One row per request, shape (n, d): those recorded, else those of the prompts.

    `watch` may show progress: it gives back what it is given, one by one.
    """
    if outcomes.features is not None:
        return outcomes.features
    return np.array([source.features(prompt) for prompt in watch(outcomes.prompts)])
