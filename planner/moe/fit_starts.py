"""Where fits begin, and in which coordinates they go."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from planner.moe.forms import DENSE, JOINT, YUN, Form
from planner.moe.runs import TrainingRuns
from services.core.events import FloatArray

_EXPERTS = {"e_start": 2.0, "e_max": 256.0}


@dataclass(frozen=True, slots=True)
class Anchor:
    """A coefficient that is fitted at the middle of the data, not at N = D = 1 far outside of it.

    In the fit's coordinates `of` is replaced by `of + sign * exponent * ln(middle of variable)`, which takes
    away the near-collinearity of a power law's factor and exponent.
    """

    of: str
    exponent: str
    variable: str
    sign: float


_ANCHORS = {
    "yun": (Anchor("A", "alpha", "params", -1.0), Anchor("C", "gamma", "tokens", -1.0)),
    "joint": (
        Anchor("a", "alpha", "params", 1.0),
        Anchor("delta", "gamma", "params", 1.0),
        Anchor("b", "beta", "tokens", 1.0),
        Anchor("omega", "zeta", "tokens", 1.0),
    ),
    "chinchilla": (Anchor("A", "alpha", "params", -1.0), Anchor("B", "beta", "tokens", -1.0)),
}
_EXPONENTS: dict[str, dict[str, tuple[float, ...]]] = {
    "yun": {"alpha": (0.1, 0.4), "gamma": (0.1, 0.4), "beta": (0.2, 1.0), "F": (0.3, 0.7), "d": (0.0,)},
    "joint": {
        "alpha": (-0.1, -0.4),
        "beta": (-0.1, -0.4),
        "delta": (-0.3, 0.0),
        "omega": (0.0, 0.5),
        "c": (0.3, 0.7),
        "gamma": (0.0,),
        "zeta": (0.0,),
    },
    "chinchilla": {"alpha": (0.1, 0.3, 0.6), "beta": (0.1, 0.3, 0.6), "E": (0.3, 0.7)},
}
_FLOORS = {"yun": "F", "joint": "c", "chinchilla": "E"}
_FACTORS = {"yun": ("A", "B", "C"), "joint": ("a", "b"), "chinchilla": ("A", "B")}

FITTED_FORMS: Mapping[str, Form] = {form.name: form for form in (YUN, JOINT, DENSE)}
"""Forms that can be fitted, by name."""


def transform(form: Form, runs: TrainingRuns) -> FloatArray:
    """Matrix from plain coefficients (logarithms where positive) to the fit's coordinates, shape (k, k)."""
    names = form.coefficients
    matrix = np.eye(len(names))
    for anchor in _ANCHORS[form.name]:
        middle = np.log(getattr(runs, anchor.variable)).mean()
        matrix[names.index(anchor.of), names.index(anchor.exponent)] = anchor.sign * middle
    return matrix


def starts(form: Form, runs: TrainingRuns) -> Iterator[FloatArray]:
    """Starts on a grid, plain coefficients, shape (k,) each: the factors share what is above the floor."""
    grid = _EXPONENTS[form.name]
    floor, factors = _FLOORS[form.name], _FACTORS[form.name]
    least = float(runs.loss.min())
    for values in itertools.product(*grid.values()):
        start = {**_EXPERTS, **dict(zip(grid, values, strict=True))}
        start[floor] *= least
        share = (float(np.median(runs.loss)) - start[floor]) / len(factors)
        start.update(dict.fromkeys(factors, share))
        positive = form.positive
        centred = [np.log(start[n]) if n in positive else start[n] for n in form.coefficients]
        # The shares hold in the middle of the data.
        yield np.linalg.solve(transform(form, runs), np.array(centred)).astype(np.float64)
