"""A study as one HTML page that needs nothing else."""

from pathlib import Path

from cli.demo.theme import DARK, LIGHT
from cli.page import html_figures, html_notes, html_page, html_pairs, html_section, html_table
from cli.replay.figures import draw_figures
from cli.replay.summary import HEADINGS, baseline_cells, cells, lines
from cli.written_files import write_whole
from planner.replay.study import Study

_DEFINITIONS = {
    "energy per request": "Attributed joules of every generation, those only run to learn included; no idle "
    "energy.",
    "of static mixture": "Mean joules over those of the cheapest mixture of two models that reaches the "
    "target on these very requests: it knows every average beforehand.",
    "satisfaction, least": "Mean over the served answers, judged or not: over all seeds, and the least seed.",
    "worst shortfall": "Most that the running mean lacked to the target after request 1,000, in any seed.",
    "domain-mixture": "The cheapest mixture with shares of its own per benchmark (a linear programme).",
    "clairvoyant": "The cheapest choice per request that reaches the target, every outcome known beforehand.",
    "random-with-constraint": "Uniform over the models that keep the running mean at the target; 20 runs.",
    "virtual queue, ledger": "What answers owe to the target: Q of the published method, never below 0; the "
    "ledger charges the target minus the predicted satisfaction at a decision and is corrected by the label.",
    "calibration": "Requests in ten groups of rising prediction: the mean prediction of each group against "
    "what came.",
    "intervals": "From the smallest to the largest of all seeds.",
}


def write_report(path: Path, study: Study) -> None:
    """Writes the page. Raises OSError."""
    write_whole(path, render_html(study))


def render_html(study: Study) -> str:
    """The page: tables, figures for light and dark surroundings, settings and definitions."""
    light, dark = draw_figures(study, LIGHT), draw_figures(study, DARK)
    title = (
        f"{study.outcomes.dataset}: {len(study.outcomes):,} requests, {len(study.outcomes.model_ids)} models"
    )
    sections = [
        html_notes(study.notes),
        html_table(HEADINGS, [cells(line) for line in lines(study)]),
        html_figures(light, dark),
        html_section(
            "Baselines, J/request",
            ("baseline", *(f"{100 * target:g} %" for target in study.question.targets)),
            [baseline_cells(study, name) for name in study.baselines],
        ),
        html_pairs("Settings", _settings(study)),
        html_pairs("Definitions", _DEFINITIONS),
    ]
    return html_page("MESS+ replay", f"MESS+ replay of {title}", sections)


def _settings(study: Study) -> dict[str, str]:
    question, outcomes = study.question, study.outcomes
    means, joules = outcomes.satisfaction.mean(axis=0), outcomes.energy_joules.mean(axis=0)
    models = "; ".join(
        f"{model}: {100 * mean:.1f} %, {cost:.4g} J"
        for model, mean, cost in zip(outcomes.model_ids, means, joules, strict=True)
    )
    return {
        "models": models,
        "order": question.order.value,
        "labels": question.labels.text,
        "seeds": str(question.seeds),
        "prior": question.prior.value,
        "SLA classes": "one per benchmark" if question.class_per_benchmark else "one",
        "snapshot": f"every {question.snapshot_every} requests",
        "figures": "all but the first: seed 0 at the middle target",
    }
