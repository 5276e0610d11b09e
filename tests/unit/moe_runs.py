"""Training runs drawn from a law, with noise on ln L."""

import itertools

import numpy as np

from planner.moe.forms import YUN
from planner.moe.laws import Fitted, Law
from planner.moe.runs import TrainingRuns
from services.core.events import FloatArray

YUN_LAW = Law(
    "yun",
    YUN,
    {
        "A": 60.0,
        "alpha": 0.22,
        "B": 0.25,
        "beta": 0.5,
        "C": 300.0,
        "gamma": 0.28,
        "F": 1.1,
        "d": -0.0008,
        "e_start": 1.8,
        "e_max": 250.0,
    },
    Fitted(),
    "made up",
)
PARAMS = (1e8, 2.5e8, 6e8, 1.2e9, 2.7e9)
TOKENS = (2e9, 6e9, 2e10, 6e10)
EXPERTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def grid(experts: tuple[float, ...] = EXPERTS) -> FloatArray:
    """All combinations, shape (rows, 3)."""
    return np.array(list(itertools.product(PARAMS, TOKENS, experts)))


def sampled(law: Law, noise: float, seed: int = 0, experts: tuple[float, ...] = EXPERTS) -> TrainingRuns:
    rows = grid(experts)
    factor = np.exp(noise * np.random.default_rng(seed).standard_normal(len(rows)))
    return TrainingRuns("samples", *rows.T, law.loss(*rows.T) * factor)


def csv_text(runs: TrainingRuns) -> str:
    rows = zip(runs.params, runs.tokens, runs.experts, runs.loss, strict=True)
    return "params,tokens,experts,loss\n" + "".join(f"{n},{d},{e},{loss}\n" for n, d, e, loss in rows)
