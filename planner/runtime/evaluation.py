"""How far predictions are off prompt lengths that the estimator has not seen."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from planner.runtime.profile import Linear, helm_lookup
from planner.runtime.prompt_term import fit_prompt_term

PromptTermOf = Callable[[Mapping[int, float], int], float]
"""(measured seconds by prompt tokens, prompt tokens) -> seconds."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Relative errors of the prompt term over all left-out inner lengths."""

    points: int
    mean: float
    p95: float


def default_term(measured: Mapping[int, float], prompt_tokens: int) -> float:
    """This project's estimator."""
    return float(fit_prompt_term(measured).at(np.array([float(prompt_tokens)]))[0])


def helm_term(measured: Mapping[int, float], prompt_tokens: int) -> float:
    """The published lookup."""
    return helm_lookup(Linear(measured, 0.0), prompt_tokens, 1)


def plain_term(measured: Mapping[int, float], prompt_tokens: int) -> float:
    """Linear interpolation."""
    keys = sorted(measured)
    return float(np.interp(prompt_tokens, keys, [measured[key] for key in keys]))


ESTIMATORS: Mapping[str, PromptTermOf] = {"default": default_term, "helm": helm_term, "linear": plain_term}
"""Prompt terms by name."""


def leave_one_out(tables: Iterable[Mapping[int, float]], term: PromptTermOf) -> HeldOut | None:
    """Every inner length predicted from all others, everything chosen anew; None where no table has three."""
    errors = []
    for table in tables:
        for length in sorted(table)[1:-1]:
            rest = {key: value for key, value in table.items() if key != length}
            errors.append(abs(term(rest, length) / table[length] - 1.0))
    if not errors:
        return None
    return HeldOut(len(errors), float(np.mean(errors)), float(np.quantile(errors, 0.95)))
