"""The run's report: a table for the terminal, PNG figures, and one HTML page that needs nothing else."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cli.demo.baselines import Contender
from cli.demo.energy_table import energy_section
from cli.demo.figures import draw_figures
from cli.demo.page import DEFINITIONS, STYLE
from cli.demo.spent import RunEnergy
from cli.demo.summary import Summary
from cli.demo.theme import DARK, LIGHT
from cli.demo.verdict import joules, percent, verdict, weights
from cli.picture import Picture, figure_html
from cli.written_files import write_whole

_COLUMNS = ("contender", "satisfied", "target", "energy per request", "with idle energy", "models")


def summary_table(summary: Summary) -> Table:
    """Every contender with its satisfaction and energy, for the terminal."""
    table = Table(title=f"{_count(summary)}, target {percent(summary.min_satisfaction)}")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in {"contender", "models"} else "right")
    for contender in contenders(summary):
        table.add_row(
            *map(Text, _cells(contender, summary)), style="bold" if contender is summary.router else None
        )
    return table


def contenders(summary: Summary) -> tuple[Contender, ...]:
    """Everyone who is compared, router first; a mixture best only with idle energy has a row of its own."""
    mixtures = [summary.static_mixture]
    if summary.static_mixture_with_idle != summary.static_mixture:
        mixtures.append(summary.static_mixture_with_idle)
    return (summary.router, *mixtures, summary.random_constrained, *summary.singles)


def write_report(folder: Path, summary: Summary, energy: RunEnergy, settings: Mapping[str, str]) -> Path:
    """Write the figures as PNG and `report.html` into `folder` (made if missing); returns the page's path.

    `settings` are the run's settings as they shall be shown, name to value. Raises OSError if the folder
    cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    light, dark = draw_figures(summary, energy, LIGHT), draw_figures(summary, energy, DARK)
    for name, picture in light.items():
        (folder / f"{name}.png").write_bytes(picture.png)
    page = folder / "report.html"
    write_whole(page, render_html(summary, energy, settings, light, dark))
    return page


def render_html(
    summary: Summary,
    energy: RunEnergy,
    settings: Mapping[str, str],
    light: Mapping[str, Picture],
    dark: Mapping[str, Picture],
) -> str:
    """One page with verdict, table, figures for light and dark surroundings, settings and definitions."""
    sections = [
        _verdict_section(summary),
        _contender_section(summary),
        *(figure_html(light[name], dark[name]) for name in light),
        _kinds_section(summary),
        energy_section(energy, summary.models),
        _settings_section(settings),
        _definition_section(),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>MESS+ demo</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>MESS+ demo: {_count(summary)} over {len(summary.models)} models</h1>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _count(summary: Summary) -> str:
    count = summary.trace.satisfaction.size
    return f"{count:,} prompt{'' if count == 1 else 's'}"


def _verdict_section(summary: Summary) -> str:
    good = (summary.met, summary.without_idle.won, summary.with_idle.won, None, None)
    classes = ["" if won is None else "good" if won else "bad" for won in good]
    items = [
        f'<li class="{c}">{escape(line)}</li>' for c, line in zip(classes, verdict(summary), strict=True)
    ]
    return f'<ul class="verdict">{"".join(items)}</ul>'


def _contender_section(summary: Summary) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in _COLUMNS)
    rows = [
        f"<tr{' class=router' if contender is summary.router else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(contender, summary))
        + "</tr>"
        for contender in contenders(summary)
    ]
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _cells(contender: Contender, summary: Summary) -> tuple[str, ...]:
    marks = []
    if contender is summary.cheapest_feasible:
        marks.append("cheapest feasible model")
    if contender is summary.static_mixture_with_idle and contender is not summary.static_mixture:
        marks.append("best with idle energy")
    gap = (contender.mean_satisfaction - summary.min_satisfaction) * 100
    return (
        f"{contender.name} ({', '.join(marks)})" if marks else contender.name,
        percent(contender.mean_satisfaction),
        "met" if contender.reaches(summary.min_satisfaction) else f"{gap:.1f} points",
        joules(contender.joules_per_request),
        joules(contender.total_joules),
        weights(contender.weights or (summary.model_shares if contender is summary.router else {})) or "all",
    )


def _kinds_section(summary: Summary) -> str:
    rows = [
        f"<tr><td>{escape(kind)}</td><td>{percent(share, 0)}</td></tr>"
        for kind, share in summary.satisfaction_by_kind.items()
    ]
    head = "<thead><tr><th>kind of prompt</th><th>satisfied</th></tr></thead>"
    return f"<h2>Routed answers by kind of prompt</h2><table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _settings_section(settings: Mapping[str, str]) -> str:
    rows = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in settings.items()]
    return f"<h2>Settings of this run</h2><dl>{''.join(rows)}</dl>"


def _definition_section() -> str:
    rows = [f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in DEFINITIONS.items()]
    return f"<h2>Definitions</h2><dl>{''.join(rows)}</dl>"
