"""A sweep's analysis as one HTML page."""

from pathlib import Path

from cli.demo.theme import DARK, LIGHT
from cli.page import html_figures, html_notes, html_page, html_pairs, html_section
from cli.pareto.figures import MAX_FIGURES, draw_figures
from cli.pareto.tables import (
    GAIN_HEADINGS,
    POINT_HEADINGS,
    RULE_HEADINGS,
    gain_rows,
    point_rows,
    rule_rows,
)
from cli.written_files import write_whole
from planner.pareto.study import Study

_DEFINITIONS = {
    "frontier": "No other point has more throughput, less inter-token latency and fewer joules per token. A "
    "point that is there by less than the interval of the difference does not count.",
    "+-": "95 % interval. The relative noise of a run is pooled over all configurations that were run twice.",
    "90 % of throughput at": "The smallest batch size with 90 % of the sweep's most, by one replica.",
    "rule": "The largest batch B with ITL(B) <= L ITL(32) and T(B) / (B T(1)) > 0.1 (Recasens et al. 2024).",
    "recommended": "The best single replica within the limits, then more replicas as long as each step gains "
    "more throughput than the interval of the difference.",
    "tuned single replica": "The batch size of most throughput, per variant: what replication must beat.",
    "J/token": "Per output token, prompts included: as the file has it, or as all meters read it.",
}


def write_report(path: Path, study: Study) -> None:
    """Writes the page. Raises OSError."""
    write_whole(path, render_html(study))


def render_html(study: Study) -> str:
    """The page: recommendations, figures, every point with its interval, definitions."""
    left_out = len(study.experiments) - MAX_FIGURES
    drawn = [f"The first {MAX_FIGURES} experiments are drawn; --model and --group choose others."]
    sections = [
        html_notes([*study.notes, *(drawn if left_out > 0 else ())]),
        html_section("What to set", RULE_HEADINGS, rule_rows(study)),
        html_figures(draw_figures(study, LIGHT), draw_figures(study, DARK)),
    ]
    for experiment in study.experiments:
        title = " ".join(filter(None, (experiment.model, experiment.group)))
        sections.append(html_section(title, POINT_HEADINGS, point_rows(experiment)))
        sections.append(html_notes(experiment.notes))
        if experiment.gains:
            sections.append(html_section(f"{title}: replication", GAIN_HEADINGS, gain_rows(experiment)))
    sections.append(html_pairs("Definitions", _DEFINITIONS))
    return html_page("MESS+ pareto", f"Batch size and replicas from {study.place}", sections)
