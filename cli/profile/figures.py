"""Figures of profiles: the prompt term, and efficiency against capability."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.demo.theme import Theme
from cli.picture import PALETTE, Picture, as_percent, drawn, plain_log
from planner.runtime.evaluation import helm_term
from planner.runtime.study import Study, efficient

_CURVES = 4
_POINTS = 600
_LEAST_FOR_SCATTER = 2


def draw_figures(study: Study, theme: Theme) -> dict[str, Picture]:
    """The prompt terms of the first profiles; where accuracies are known, what they cost."""
    drawings: dict[str, tuple[Callable[[Figure, Theme], str], float]] = {
        "prompt": (lambda figure, theme: _prompt(figure.add_subplot(), study, theme), 4.4)
    }
    if len(study.accuracy) >= _LEAST_FOR_SCATTER:
        drawings["scatter"] = (lambda figure, theme: _scatter(figure, study, theme), 4.6)
    return {name: drawn(draw, theme, height) for name, (draw, height) in drawings.items()}


def _prompt(axes: Axes, study: Study, theme: Theme) -> str:
    """Measured times, this project's curve and the published lookup."""
    different = {tuple(profile.seconds.for_prompt.items()): profile for profile in reversed(study.profiles)}
    shown = list(reversed(different.values()))[:_CURVES]
    for colour, profile in zip(PALETTE, shown, strict=False):
        table = profile.seconds.for_prompt
        lengths = np.linspace(min(table), max(table), _POINTS)
        published = [helm_term(table, max(1, round(length))) for length in lengths]
        axes.plot(lengths, published, color=theme.faded, linewidth=0.8, zorder=0)
        axes.plot(lengths, profile.seconds.term().at(lengths), color=colour, label=profile.name)
        axes.plot(list(table), list(table.values()), ".", color=colour)
    axes.set_xlabel("prompt tokens (dots: measured; grey: the published lookup)")
    axes.set_ylabel("seconds to the first token")
    axes.grid(axis="y")
    axes.legend(frameon=False, fontsize=9)
    error = study.held_out["default"]
    if error is None:
        return "Time to the first token"
    return f"The prompt term is off unseen lengths by {100 * error.mean:.1f} % on average"


def _scatter(figure: Figure, study: Study, theme: Theme) -> str:
    """Accuracy against runtime, and against joules and dollars where they are known."""
    kinds: dict[str, dict[str, float | None]] = {
        "seconds": {p.name: r.seconds for p, r in zip(study.profiles, study.requests, strict=True)},
        "joules": {p.name: r.joules for p, r in zip(study.profiles, study.requests, strict=True)},
        "dollars": {p.name: r.dollars for p, r in zip(study.profiles, study.requests, strict=True)},
    }
    known = {
        kind: {name: cost for name, cost in costs.items() if name in study.accuracy and cost is not None}
        for kind, costs in kinds.items()
    }
    shown = {kind: costs for kind, costs in known.items() if len(costs) >= _LEAST_FOR_SCATTER}
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (kind, costs) in zip(panels, shown.items(), strict=True):
        best = efficient(costs, study.accuracy)
        for name, cost in costs.items():
            colour = theme.accent if name in best else theme.rival
            axes.plot(cost, study.accuracy[name], "o", color=colour)
            place = (cost, study.accuracy[name])
            axes.annotate(name, place, (4, 3), textcoords="offset points", fontsize=7)
        axes.plot(
            [costs[n] for n in best], [study.accuracy[n] for n in best], color=theme.accent, linewidth=1
        )
        axes.set_xscale("log")
        plain_log(axes.xaxis)
        axes.set_xlabel(f"{kind} per request")
        axes.yaxis.set_major_formatter(as_percent)
    panels[0].set_ylabel("accuracy")
    names = efficient(known["seconds"], study.accuracy)
    return f"{len(names)} of {len(known['seconds'])} models are worth their time"
