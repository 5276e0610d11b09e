"""A mixture-of-experts study as one HTML page and as a JSON document."""

import math
from pathlib import Path
from typing import Any

from cli.demo.theme import DARK, LIGHT
from cli.moe.figures import draw_figures
from cli.moe.tables import (
    FIT_HEADINGS,
    HEADINGS,
    OPTIMUM_HEADINGS,
    answer_rows,
    extrapolations,
    fit_rows,
    optimum_rows,
    unreachable,
)
from cli.page import html_figures, html_notes, html_page, html_pairs, html_section
from cli.written_files import write_whole
from planner.moe.findings import Finding, evaluate
from planner.moe.study import Study, choice_document

_DEFINITIONS = {
    "loss-optimal": "The N and D that lose least for the training budget, 6 N D operations.",
    "loss <= ...": "Algorithm 1: the smallest model whose loss stays within the bound when the whole budget "
    "goes into its training. Without --max-loss the bound is the loss-optimal model of the fewest experts.",
    "cost <= ...": "Algorithm 2: the least loss at a serving cost within the bound. Without "
    "--max-cost it is the cheapest loss-optimal model.",
    "serving cost": "min over G of G C0 / T, T = b / (Lat_P + Lat_D), b what memory allows at 90 % use; "
    "MODELLED: the weights of the latency's terms are measured on one accelerator, links between several and "
    "matrix multiplication are assumed.",
    "active N, in memory": "Parameters that work on a token, 2 of E experts; all parameters. One expert is a "
    "third of a dense model.",
    "*": "Something is outside of what the law was fitted on or the latency measured on; see the notes.",
}


def write_report(path: Path, study: Study) -> None:
    """Writes the page. Raises OSError."""
    write_whole(path, render_html(study))


def render_html(study: Study) -> str:
    """The page: findings, tables, figures, settings and definitions."""
    notes = [line for answer in study.answers for line in unreachable(answer)] + extrapolations(study)
    sections = [html_notes([*notes, *(study.fit.notes if study.fit else ())])]
    if found := evaluate(study):
        sections.append(html_section("What the paper states", FINDING_HEADINGS, finding_rows(study, found)))
    sections.append(html_figures(draw_figures(study, LIGHT), draw_figures(study, DARK)))
    if study.fit:
        sections.append(html_section("The fitted law", FIT_HEADINGS, fit_rows(study.fit)))
    if optima := optimum_rows(study):
        sections.append(html_section("Optimum of the fitted law", OPTIMUM_HEADINGS, optima))
    sections += [
        html_section(f"Training budget {answer.budget_flops:.3g} FLOPs", HEADINGS, answer_rows(answer))
        for answer in study.answers
    ]
    sections += [html_pairs("Settings", settings(study)), html_pairs("Definitions", _DEFINITIONS)]
    return html_page(
        "MESS+ moe", f"Inference-optimal mixtures of experts by {study.question.law.name}", sections
    )


FINDING_HEADINGS = ("statement of Yun et al. 2024", "budget", "here", "verdict")


def finding_rows(study: Study, findings: tuple[Finding, ...]) -> list[tuple[str, ...]]:
    """One row per statement and budget."""
    budgets = [f"{answer.budget_flops:.0e}" for answer in study.answers]
    return [
        (finding.statement if first else "", budget, number, "agree" if agrees else "differ")
        for finding in findings
        for first, budget, number, agrees in zip(
            [True] + [False] * len(budgets), budgets, finding.numbers, finding.agrees, strict=False
        )
    ]


def settings(study: Study) -> dict[str, str]:
    """What the study was asked, for people."""
    question = study.question
    machine, latency, work = question.machine, question.machine.latency, question.workload
    return {
        "law": f"{question.law.name}: {question.law.source}",
        "workload": f"{work.prompt_tokens:g} prompt and {work.output_tokens:g} output tokens",
        "accelerators": f"{machine.memory_bytes / 1e9:g} GB, {machine.dollars_per_hour:g} $/h, "
        f"{', '.join(map(str, machine.gpu_counts))} per model",
        "latency": f"{latency.source}; mean error {100 * latency.mean_error:.1f} %",
    }


def document(study: Study) -> dict[str, Any]:
    """Everything as JSON values."""
    law = study.question.law
    return {
        "law": {"name": law.name, "source": law.source, "coefficients": dict(law.coefficients)},
        "fit": _fit_document(study),
        "settings": settings(study),
        "answers": [
            {
                "budget_flops": answer.budget_flops,
                "loss_optimal": [choice_document(c) for c in answer.optimal.values()],
                "max_loss": answer.max_loss,
                "within_loss": [choice_document(c) for c in answer.within_loss.values()],
                "max_dollars_per_million_tokens": answer.max_cost if math.isfinite(answer.max_cost) else None,
                "within_cost": [choice_document(c) for c in answer.within_cost.values()],
            }
            for answer in study.answers
        ],
        "findings": [
            {"statement": f.statement, "numbers": f.numbers, "agrees": f.agrees, "verdict": f.verdict}
            for f in evaluate(study)
        ],
    }


def _fit_document(study: Study) -> dict[str, Any] | None:
    if study.fit is None:
        return None
    fit = study.fit
    return {"rmsle": fit.rmsle, "huber": fit.huber, "intervals": fit.intervals, "notes": list(fit.notes)}
