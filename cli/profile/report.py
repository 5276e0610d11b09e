"""Profiles as one HTML page."""

from pathlib import Path

from cli.demo.theme import DARK, LIGHT
from cli.page import html_figures, html_page, html_pairs, html_section
from cli.profile.figures import draw_figures
from cli.profile.tables import ERROR_HEADINGS, HEADINGS, error_rows, profile_rows, request_title
from cli.written_files import write_whole
from planner.runtime.study import Study

_DEFINITIONS = {
    "seconds": "alpha_p + (beta + beta1 p)(o - 1), plus an API's constant overhead: one request at a time, "
    "no contention (Narayanan et al. 2023). A star marks prompts outside of the measured lengths.",
    "steps of prompt tokens": "The tile of the default estimator: up to its next multiple, tokens cost "
    "little more. Chosen by predicting every measured length from the others.",
    "joules": "measured: by a meter, fitted likewise. modelled: likewise, of CPU-seconds x watts per core. "
    "estimated: seconds x accelerators x board's watts.",
    "dollars": "Seconds x accelerators x price per hour / 3600.",
    "helm": "The published lookup: the smallest measured length k not below p, R[k] p / k.",
    "linear": "Plain interpolation between measured lengths.",
    "mean error, p95 error": "Relative, over all inner prompt lengths, each predicted from the others.",
}


def write_report(path: Path, study: Study) -> None:
    """Writes the page. Raises OSError."""
    write_whole(path, render_html(study))


def render_html(study: Study) -> str:
    """The page: predictions, held-out errors, figures, definitions."""
    hardware = study.hardware
    price = hardware.dollars_per_gpu_hour
    settings = {
        "lookup": study.mode.value,
        "accelerators": str(hardware.gpus),
        "price": "-" if price is None else f"{price:g} $/h each",
        "board power": "-" if hardware.board_watts is None else f"{hardware.board_watts:g} W each",
    }
    sections = [
        html_section(request_title(study), HEADINGS, profile_rows(study)),
        html_section("Prompt lengths left out", ERROR_HEADINGS, error_rows(study)),
        html_figures(draw_figures(study, LIGHT), draw_figures(study, DARK)),
        html_pairs("Settings", settings),
        html_pairs("Definitions", _DEFINITIONS),
    ]
    count = len(study.profiles)
    heading = f"Idealized runtime of {'one model' if count == 1 else f'{count} models'}"
    return html_page("MESS+ profile", heading, sections)
