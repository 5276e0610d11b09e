"""Which answers get judged, and when: full, sparse, late or biased labels.

What decides is the served answer, since a user sees no other. Where a request is judged, explored answers
are judged with it (they have no user; whoever runs them to learn has them judged).
"""

import re
from dataclasses import dataclass

import numpy as np

from services.core.events import AUDIT, FloatArray

SATISFIED_SHARE = 0.2
"""Biased labels: share of satisfied users who answer; of the dissatisfied, `ratio` times as many."""
_LABEL_STREAM = 3
_SYNTAX = "full, partial:SHARE, delayed:REQUESTS, biased:RATIO or biased:RATIO+audit:SHARE"
_NUMBER = r"(\d+(?:\.\d+)?)"
_PATTERN = re.compile(
    rf"full|partial:{_NUMBER}|delayed:(\d+)|biased:{_NUMBER}(?:\+audit:{_NUMBER})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class LabelRegime:
    """How labels come.

    Attributes:
        text: as `parse_labels` reads it.
        share: of requests that are judged, in (0, 1].
        delay_requests: a label comes before the decision this many requests later than the next, >= 0.
        bias_ratio: how many times as often dissatisfied users answer, >= 1; None where nobody is biased.
        audit_share: of requests judged independently of any user, in [0, 1).

    """

    text: str
    share: float = 1.0
    delay_requests: int = 0
    bias_ratio: float | None = None
    audit_share: float = 0.0

    @property
    def at_once(self) -> bool:
        """Whether every answer is judged before the next decision."""
        return self.share == 1.0 and self.delay_requests == 0 and self.bias_ratio is None


@dataclass(frozen=True, slots=True)
class Judging:
    """The luck of one run, drawn beforehand so that every policy meets the same: each shape (n,)."""

    regime: LabelRegime
    answers: FloatArray
    """Uniform in [0, 1): the user answers if this is below his probability."""
    audits: FloatArray
    """Uniform in [0, 1): the request is audited if this is below the audited share."""

    def source(self, request: int, served_satisfaction: float) -> str | None:
        """Who judges the answer to a request of the stream; None for nobody."""
        if self.audits[request] < self.regime.audit_share:
            return AUDIT
        return "user" if self.answers[request] < self._probability(served_satisfaction) else None

    def _probability(self, satisfaction: float) -> float:
        ratio = self.regime.bias_ratio
        if ratio is None:
            return self.regime.share
        dissatisfied = min(1.0, SATISFIED_SHARE * ratio)
        return satisfaction * SATISFIED_SHARE + (1.0 - satisfaction) * dissatisfied


def parse_labels(text: str) -> LabelRegime:
    """Reads `--labels`. Raises ValueError saying what is allowed."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(_SYNTAX)
    share, delay, ratio, audit = match.groups()
    if share is not None:
        regime = LabelRegime(text, share=float(share))
    elif delay is not None:
        regime = LabelRegime(text, delay_requests=int(delay))
    elif ratio is not None:
        regime = LabelRegime(text, bias_ratio=float(ratio), audit_share=float(audit or 0.0))
    else:
        regime = LabelRegime(text)
    least_ratio = 1.0 if regime.bias_ratio is None else regime.bias_ratio
    if not 0.0 < regime.share <= 1.0 or least_ratio < 1.0 or not regime.audit_share < 1.0:
        raise ValueError(f"{_SYNTAX}, with shares from 0 to 1 and a ratio of at least 1")
    return regime


def draw_judging(regime: LabelRegime, count: int, seed: int) -> Judging:
    """The luck of a seed for a stream of `count` requests."""
    rng = np.random.default_rng((seed, _LABEL_STREAM))
    return Judging(regime, rng.random(count), rng.random(count))
