"""A study's figures; each title says what the figure shows."""

from collections.abc import Callable, Sequence

import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.demo.theme import Theme
from cli.picture import PALETTE, Picture, as_percent, drawn
from cli.replay.summary import Line, lines
from planner.replay.driver import Trace
from planner.replay.metrics import running_mean
from planner.replay.study import NEEDS_HINDSIGHT, RunResult, Study
from services.core.events import FloatArray

_FLAT = 1.01
"""Joules whose largest is within this factor of the least get an axis of their own around them."""
_MIXTURES = {
    "static-mixture": (0, (5, 2)),
    "domain-mixture": (0, (3, 1, 1, 1)),
    "random-with-constraint": (0, (1, 1)),
    "clairvoyant": (0, (1, 3)),
}
_BINS = 10
_TOLERANCE = 0.005
_WINDOW_SHARE = 20
_PANEL_INCHES = 1.9


def draw_figures(study: Study, theme: Theme) -> dict[str, Picture]:
    """Every figure by name: energy, satisfaction, debts, shares, calibration.

    All but the first show seed 0 at the middle target.
    """
    shown = middle_runs(study)
    panels = max(1, len(shown))
    drawings: dict[str, tuple[Callable[[Figure, Theme], str], float]] = {
        "energy": (lambda figure, theme: _energy(figure.add_subplot(), study, theme), 5.2),
        "satisfaction": (lambda figure, theme: _satisfaction(figure.add_subplot(), shown, theme), 4.2),
        "debts": (lambda figure, theme: _debts(figure, shown, theme), 7.0),
        "shares": (lambda figure, _: _shares(figure, study, shown), 1.0 + _PANEL_INCHES * panels),
        "calibration": (lambda figure, theme: _calibration(figure, shown, theme), 4.4),
    }
    return {name: drawn(draw, theme, height) for name, (draw, height) in drawings.items()}


def middle_runs(study: Study) -> list[tuple[RunResult, Trace]]:
    """The run of seed 0 at the middle target of every policy, with its trace."""
    targets = sorted(study.question.targets)
    middle = targets[len(targets) // 2]
    return [
        (run, run.trace)
        for run in study.runs
        if run.min_satisfaction == middle and run.seed == 0 and run.trace is not None
    ]


def _energy(axes: Axes, study: Study, theme: Theme) -> str:
    """Joules against the target, from the least to the largest seed, beside what hindsight gives."""
    targets = list(study.question.targets)
    # Before anything is drawn: matplotlib would warn of joules that are all the same.
    axes.set_yscale("log")
    for name, dashes in _MIXTURES.items():
        bills = [study.baselines[name][target].energy_joules for target in targets]
        axes.plot(targets, bills, color=theme.rival, linestyle=dashes, label=name, marker=".", zorder=1)
    for model in study.outcomes.model_ids:
        bill = study.baselines[f"single:{model}"][targets[0]]
        axes.plot(bill.satisfaction, bill.energy_joules, "D", color=theme.muted, markersize=5)
        axes.annotate(model, (bill.satisfaction, bill.energy_joules), (5, 4), textcoords="offset points")
    found = lines(study)
    for colour, policy in zip(_colours(study.question.policies), study.question.policies, strict=True):
        _energy_line(axes, [line for line in found if line.policy == policy], colour)
    low, high = axes.dataLim.intervaly
    if high < _FLAT * low:
        axes.set_ylim(low / _FLAT, high * _FLAT)
    for axis_labels in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis_labels(_plain)
    axes.xaxis.set_major_formatter(as_percent)
    axes.set_xlabel("target (diamonds: mean satisfaction of a single model)")
    axes.set_ylabel("energy per request (J)")
    axes.grid(axis="y")
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    kept = [line for line in found if _keeps(line)]
    if not kept:
        return "No learning policy keeps its target in every seed"
    best = min(kept, key=lambda line: line.ratio)
    share = f"{best.ratio:.2f} of the static mixture's joules"
    return f"{best.policy} comes down to {share} at {100 * best.min_satisfaction:g} %"


def _keeps(line: Line) -> bool:
    # The played mixture differs from the computed one by chance alone.
    return line.policy != NEEDS_HINDSIGHT and line.satisfaction.low >= line.min_satisfaction - _TOLERANCE


def _plain(joules: float, _position: float) -> str:
    return f"{joules:g}"


def _energy_line(axes: Axes, found: Sequence[Line], colour: str) -> None:
    means = [line.joules.mean for line in found]
    spread = [
        [line.joules.mean - line.joules.low for line in found],
        [line.joules.high - line.joules.mean for line in found],
    ]
    targets = [line.min_satisfaction for line in found]
    axes.errorbar(targets, means, spread, color=colour, marker="o", capsize=3, label=found[0].policy)


def _colours(policies: Sequence[str]) -> list[str]:
    return [PALETTE[(index + 4) % len(PALETTE)] for index in range(len(policies))]


def _satisfaction(axes: Axes, shown: Sequence[tuple[RunResult, Trace]], theme: Theme) -> str:
    """Running means against the target."""
    target = shown[0][0].min_satisfaction
    for (run, trace), colour in zip(shown, _colours([r.policy for r, _ in shown]), strict=True):
        axes.plot(_requests(trace), running_mean(trace.satisfaction), color=colour, label=run.policy)
    axes.axhline(target, color=theme.alarm, linewidth=1.4, linestyle=(0, (5, 3)), label="target")
    settled = np.concatenate([running_mean(t.satisfaction)[len(t.models) // 20 :] for _, t in shown])
    margin = max(0.03, 0.15 * float(np.ptp(settled)))
    axes.set_ylim(min(target, settled.min()) - margin, max(target, settled.max()) + margin)
    axes.yaxis.set_major_formatter(as_percent)
    axes.set_ylabel("mean satisfaction so far")
    _by_request(axes, shown)
    axes.legend(frameon=False, fontsize=9)
    kept = [run.policy for run, _ in shown if run.metrics.satisfaction >= target - _TOLERANCE]
    return f"Within half a point of {100 * target:g} % at the end: {', '.join(kept) or 'none'}"


def _debts(figure: Figure, shown: Sequence[tuple[RunResult, Trace]], theme: Theme) -> str:
    """What policies steer by: lambda, the ledger, and Q of the published method."""
    panels = figure.subplots(3, 1, sharex=True)
    headings = ("dual variable\n(J per answer)", "ledger\n(answers owed)", "virtual queue Q")
    for (run, trace), colour in zip(shown, _colours([r.policy for r, _ in shown]), strict=True):
        for axes, values in zip(panels, (trace.dual_joules, trace.ledger, trace.virtual_queue), strict=True):
            if axes is not panels[0] or values.any():
                axes.plot(_requests(trace), values, color=colour, label=run.policy, linewidth=1.2)
    for axes, heading in zip(panels, headings, strict=True):
        axes.axhline(0, color=theme.muted, linewidth=0.8)
        axes.grid(axis="y")
        axes.set_ylabel(heading)
    _by_request(panels[-1], shown)
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return "What the policies steer by: price, ledger and queue"


def _shares(figure: Figure, study: Study, shown: Sequence[tuple[RunResult, Trace]]) -> str:
    """Who served, over a sliding window, one panel per policy."""
    models = study.outcomes.model_ids
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(models))]
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (run, trace) in zip(panels, shown, strict=True):
        chosen = (trace.models[:, None] == np.arange(len(models))).astype(np.float64)
        window = max(1, len(chosen) // _WINDOW_SHARE)
        axes.stackplot(_requests(trace)[window - 1 :], _sliding(chosen, window).T, colors=colours)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(as_percent)
        axes.set_title(run.policy, loc="left", fontsize=10)
    _by_request(panels[-1], shown)
    handles = [matplotlib.patches.Patch(color=colour) for colour in colours]
    figure.legend(handles, models, loc="outside lower center", ncols=5, frameon=False)
    return "Which model served, in a sliding twentieth of the stream"


def _sliding(values: FloatArray, window: int) -> FloatArray:
    """Mean of each run of `window` rows, shape (n - window + 1, M)."""
    sums = np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
    means: FloatArray = (sums[window:] - sums[:-window]) / window
    return means


def _calibration(figure: Figure, shown: Sequence[tuple[RunResult, Trace]], theme: Theme) -> str:
    """What was predicted of served answers against what came, in tenths of the requests."""
    left, right = figure.subplots(1, 2)
    for (run, trace), colour in zip(shown, _colours([r.policy for r, _ in shown]), strict=True):
        served = trace.energy_joules - trace.explored_joules
        left.plot(
            *_tenths(trace.predicted_satisfaction, trace.satisfaction), "o-", color=colour, label=run.policy
        )
        right.plot(*_tenths(trace.predicted_joules, served), "o-", color=colour)
    left.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.8)
    low, high = right.get_xlim()
    right.plot([max(low, 0.0), high], [max(low, 0.0), high], color=theme.muted, linewidth=0.8)
    left.set_xlabel("predicted satisfaction")
    left.set_ylabel("mean satisfaction")
    right.set_xlabel("predicted joules")
    right.set_ylabel("mean joules")
    left.legend(frameon=False, fontsize=9)
    return "Predictions of served answers against what came (line: perfect)"


def _tenths(predicted: FloatArray, real: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means of both in ten groups of requests of rising prediction; equal predictions stay together."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _BINS + 1)))
    group = np.searchsorted(edges[1:-1], predicted, side="right")
    counts = np.bincount(group)
    filled = counts > 0
    return (
        np.bincount(group, predicted)[filled] / counts[filled],
        np.bincount(group, real)[filled] / counts[filled],
    )


def _requests(trace: Trace) -> FloatArray:
    return np.arange(1.0, len(trace.models) + 1.0)


def _by_request(axes: Axes, shown: Sequence[tuple[RunResult, Trace]]) -> None:
    axes.set_xlabel("request")
    axes.set_xlim(1, max(2, len(shown[0][1].models)))
