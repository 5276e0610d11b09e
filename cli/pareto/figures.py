"""Figures of a sweep: what batch size and replicas buy, and the frontier."""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.demo.theme import Theme
from cli.picture import PALETTE, Picture, drawn, plain_log
from planner.pareto.study import Experiment, Study
from planner.pareto.sweep import Point

_MOST_TICKS = 8
MAX_FIGURES = 8
"""Experiments that are drawn; each figure is some hundred kilobytes."""


def draw_figures(study: Study, theme: Theme) -> dict[str, Picture]:
    """One figure for each of the first experiments."""
    return {
        f"{experiment.model} {experiment.group}": drawn(partial(_experiment, experiment), theme)
        for experiment in study.experiments[:MAX_FIGURES]
    }


def _experiment(experiment: Experiment, figure: Figure, theme: Theme) -> str:
    left, right = figure.subplots(1, 2)
    _frontier(left, experiment, theme)
    _by_batch(right, experiment)
    title = " ".join(filter(None, (experiment.model, experiment.group)))
    chosen = experiment.recommendation.chosen
    return f"{title}: {chosen.configuration.name if chosen else 'nothing'} is recommended"


def _frontier(axes: Axes, experiment: Experiment, theme: Theme) -> None:
    """Throughput against latency with intervals; a line joins the batch sizes of as many replicas."""
    on_frontier = {point.configuration for point in experiment.frontier}
    for point in experiment.points:
        colour = theme.accent if point.configuration in on_frontier else theme.rival
        axes.errorbar(
            point.itl.mean * 1e3,
            point.throughput.mean,
            point.throughput.half,
            point.itl.half * 1e3,
            fmt="o" if point.configuration.replicas == 1 else "D",
            color=colour,
            markersize=4,
        )
        if point.configuration in on_frontier:
            place = (point.itl.mean * 1e3, point.throughput.mean)
            name = point.configuration.name
            axes.annotate(name, place, (4, -9), textcoords="offset points", fontsize=7)
    for kind in {_kind(point) for point in experiment.points}:
        line = sorted((p for p in experiment.points if _kind(p) == kind), key=lambda p: p.configuration.batch)
        places = [p.itl.mean * 1e3 for p in line], [p.throughput.mean for p in line]
        axes.plot(*places, color=theme.rival, linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_xlabel("inter-token latency (ms; diamonds: several\nreplicas; grey: not on the frontier)")
    axes.set_ylabel("output tokens/s")
    axes.grid(axis="y")


def _kind(point: Point) -> tuple[int, str]:
    return point.configuration.replicas, point.configuration.variant


def _by_batch(axes: Axes, experiment: Experiment) -> None:
    """Joules per token by batch size, a line per number of replicas; throughput without known joules."""
    energy = all(point.joules_per_token is not None for point in experiment.points)
    kinds = sorted({_kind(point) for point in experiment.points})
    for colour, (replicas, variant) in zip(PALETTE, kinds, strict=False):
        values = [
            (point.configuration.batch, value)
            for point in sorted(experiment.points, key=lambda point: point.configuration.batch)
            if _kind(point) == (replicas, variant)
            and (value := point.joules_per_token if energy else point.throughput) is not None
        ]
        label = " ".join(filter(None, (f"{replicas} replica{'s' if replicas > 1 else ''}", variant)))
        axes.errorbar(
            [batch for batch, _ in values],
            [value.mean for _, value in values],
            [value.half for _, value in values],
            fmt="o-",
            color=colour,
            markersize=4,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_log(axes.xaxis)
    batches = sorted({point.configuration.batch for point in experiment.points})
    if len(batches) <= _MOST_TICKS:
        axes.set_xticks(batches, [f"{batch:g}" for batch in batches])
        axes.minorticks_off()
    plain_log(axes.yaxis)
    axes.set_xlabel("batch size per replica")
    axes.set_ylabel("J per output token" if energy else "output tokens/s")
    axes.grid(axis="y")
    axes.legend(frameon=False, fontsize=8)
