"""Scaling laws: published check rows, laws found again in their own noisy samples, the paper's statements."""

import numpy as np
from rich.console import Console

from bench.report import Row
from cli.moe.job import Options, answer
from cli.moe.report import FINDING_HEADINGS, finding_rows
from cli.tables import texts_table
from planner.moe.allocation import loss_optimal
from planner.moe.findings import evaluate
from planner.moe.fitting import fit_law
from planner.moe.forms import YUN
from planner.moe.laws import Fitted, Law, published_laws
from planner.moe.runs import TrainingRuns

CHECKS = {1: (1.73e9, 9.65e9, 2.590), 8: (0.99e9, 16.8e9, 2.529), 32: (0.674e9, 24.7e9, 2.472)}
"""Experts -> active parameters, tokens and loss of the Joint MoE law at 1e20 FLOPs, as published."""
BUDGET_FLOPS = 1e20
NOISE = 0.002
MADE_UP = Law(
    "yun",
    YUN,
    {
        "A": 60.0, "alpha": 0.22, "B": 0.25, "beta": 0.5, "C": 300.0, "gamma": 0.28,
        "F": 1.1, "d": -0.0008, "e_start": 1.8, "e_max": 250.0,
    },
    Fitted(),
    "made up: Yun et al. print no coefficients",
)  # fmt: skip
_PARAMS, _TOKENS, _EXPERTS = (1e8, 2.5e8, 6e8, 1.2e9, 2.7e9), (2e9, 6e9, 2e10, 6e10), (1, 2, 4, 8, 16, 32)
_SEEDS = 2
_DEFAULTS = Options("joint-moe", (), (), (128.0, 512.0), 80.0, 2.5, None, None, None)


def law_rows(console: Console) -> list[Row]:
    joint = published_laws()["joint-moe"]
    errors = []
    for experts, wanted in CHECKS.items():
        found = loss_optimal(joint, BUDGET_FLOPS, experts)
        errors += [
            abs(a / b - 1) for a, b in zip((found.params, found.tokens, found.loss), wanted, strict=True)
        ]
    rows = [Row("Joint MoE law, three check rows: worst error", 100 * max(errors), "%", "<=", 1.5)]
    for law in (MADE_UP, joint, published_laws()["chinchilla"]):
        worst = max(_refitted_error(law, seed) for seed in range(_SEEDS))
        rows.append(
            Row(f"{law.name} refitted from its samples: worst error of N", 100 * worst, "%", "<=", 10)
        )
    study = answer(_DEFAULTS, None, console)
    findings = evaluate(study)
    console.print(texts_table("What the paper states", FINDING_HEADINGS, finding_rows(study, findings)))
    judged = sum(len(found.agrees) for found in findings)
    agree = sum(sum(found.agrees) for found in findings)
    label = f"statements of the paper with a verdict, 5 at 3 budgets ({agree} agree)"
    return [*rows, Row(label, judged, "", "==", 15)]


def _refitted_error(law: Law, seed: int) -> float:
    """Worst relative error of N (and so of D, at a budget) over the numbers of experts."""
    experts = _EXPERTS if law.name != "chinchilla" else (1,)
    rows = np.array([(n, d, e) for n in _PARAMS for d in _TOKENS for e in experts], np.float64)
    factor = np.exp(NOISE * np.random.default_rng(seed).standard_normal(len(rows)))
    runs = TrainingRuns("samples", *rows.T, law.loss(*rows.T) * factor)
    fitted = fit_law(runs, law.form, resamples=0).law
    asked = (1, 8, 32) if len(experts) > 1 else (1,)
    return max(
        abs(loss_optimal(fitted, BUDGET_FLOPS, e).params / loss_optimal(law, BUDGET_FLOPS, e).params - 1)
        for e in asked
    )
