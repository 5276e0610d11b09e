"""Plans as one HTML page."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.demo.theme import DARK, LIGHT, Theme
from cli.page import html_figures, html_notes, html_page, html_pairs, html_section
from cli.picture import Picture, as_percent, drawn
from cli.plan.study import PlanStudy
from cli.plan.tables import MODEL_HEADINGS, PLAN_HEADINGS, model_rows, plan_rows, unreachable
from cli.written_files import write_whole
from planner.zoo_plan import hull

_DEFINITIONS = {
    "cheapest zoo": "The models to keep in memory, and the share of requests that each serves, so that "
    "mean satisfaction reaches the target for the fewest expected joules. More than two models never help.",
    "on the hull": "No mixture of others gives as much satisfaction for as few joules.",
    "same zoo in": "How often the same models come out when the requests are drawn anew from the file.",
    "router": "The policy pacer on these outcomes, exploration included: it may cost less than the mixture "
    "since it sees the prompt, and more where there is little to learn from.",
    "joules from": "outcomes: the file's own. A profile: its idealized joules for every request's tokens.",
}


def write_report(path: Path, study: PlanStudy) -> None:
    """Writes the page. Raises OSError."""
    write_whole(path, render_html(study))


def render_html(study: PlanStudy) -> str:
    """The page: plans, figure, candidates, definitions."""
    sections = [
        html_notes([*unreachable(study), *study.notes]),
        html_section("Plans", PLAN_HEADINGS, plan_rows(study)),
        html_figures({"hull": _picture(study, LIGHT)}, {"hull": _picture(study, DARK)}),
        html_section("Candidates", MODEL_HEADINGS, model_rows(study)),
        html_pairs("Definitions", _DEFINITIONS),
    ]
    title = f"The cheapest zoo for {study.outcomes.dataset}: {len(study.outcomes):,} requests"
    return html_page("MESS+ plan", title, sections)


def _picture(study: PlanStudy, theme: Theme) -> Picture:
    return drawn(lambda figure, theme: _draw(figure, study, theme), theme, 4.6)


def _draw(figure: Figure, study: PlanStudy, theme: Theme) -> str:
    """Models, their hull, and where each target is served."""
    axes = figure.add_subplot()
    found = study.candidates
    places = dict(
        zip(found.model_ids, zip(found.energy_joules, found.satisfaction, strict=True), strict=True)
    )
    line = [places[model] for model in hull(found)]
    axes.plot([x for x, _ in line], [y for _, y in line], color=theme.faded, linewidth=1.2, zorder=0)
    for model, place in places.items():
        axes.plot(*place, "o", color=theme.accent if model in hull(found) else theme.rival)
        axes.annotate(model, place, (6, -10), textcoords="offset points", fontsize=9)
    _targets(axes, study, theme)
    axes.yaxis.set_major_formatter(as_percent)
    axes.set_xlabel("joules per request (crosses: the cheapest zoo of each target; diamonds: the router)")
    axes.set_ylabel("mean satisfaction")
    axes.grid(axis="y")
    middle = study.targets[len(study.targets) // 2]
    zoo = " + ".join(middle.plan.shares)
    return f"{100 * middle.min_satisfaction:g} % costs {middle.plan.energy_joules:.4g} J with {zoo}"


def _targets(axes: Axes, study: PlanStudy, theme: Theme) -> None:
    for target in study.targets:
        axes.plot(target.plan.energy_joules, target.plan.satisfaction, "x", color=theme.alarm, markersize=9)
        for result in target.routers:
            axes.plot(result.energy_joules, result.satisfaction, "D", color=theme.ink, markersize=4)
