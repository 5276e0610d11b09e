"""The run's figures as PNG; each title says what the figure shows. Drawn without a display."""

from collections.abc import Callable

import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cli.demo.baselines import Contender
from cli.demo.power_figure import draw_power
from cli.demo.spent import RunEnergy
from cli.demo.summary import Floats, Summary
from cli.demo.theme import LIGHT, Theme
from cli.demo.verdict import joules, percent, weights
from cli.picture import PALETTE, Picture, as_percent, drawn

_WINDOW_SHARE = 10
_WHOLE_PERCENT = 0.01
"""Below it a title says tenths of a percent."""


def draw_figures(summary: Summary, energy: RunEnergy, theme: Theme = LIGHT) -> dict[str, Picture]:
    """Every figure by name (a file stem): contenders, satisfaction, queue, shares, exploration, power."""
    drawings: dict[str, Callable[[Axes, Summary, Theme], str]] = {
        "contenders": _contenders,
        "satisfaction": _satisfaction,
        "queue": _queue,
        "shares": _shares,
        "exploration": _exploration,
    }
    pictures = {name: _picture(draw, summary, theme) for name, draw in drawings.items()}
    pictures["power"] = drawn(
        lambda figure, theme: draw_power(figure.add_subplot(), energy, summary.models, theme), theme
    )
    return pictures


def _picture(draw: Callable[[Axes, Summary, Theme], str], summary: Summary, theme: Theme) -> Picture:
    return drawn(lambda figure, theme: draw(figure.add_subplot(), summary, theme), theme)


def _contenders(axes: Axes, summary: Summary, theme: Theme) -> str:
    """Joules per request beside each other; who misses the target is faint, idle energy is hatched."""
    contenders = [*summary.singles, summary.random_constrained, summary.static_mixture, summary.router]
    places = list(range(len(contenders)))
    active = [contender.joules_per_request for contender in contenders]
    idle = [contender.idle_joules_per_request for contender in contenders]
    colours = [_contender_colour(contender, summary, theme) for contender in contenders]
    axes.barh(places, active, color=colours, height=0.62)
    if any(idle):
        bars = axes.barh(places, idle, left=active, height=0.62, fill=False, linewidth=0)
        for bar in bars:
            bar.set(hatch="////", edgecolor=theme.muted)
    largest = max(contender.total_joules for contender in contenders) or 1.0
    for place, contender in zip(places, contenders, strict=True):
        end = contender.total_joules + 0.012 * largest
        axes.text(end, place, _bar_label(contender), va="center", fontsize=10)
    axes.set_yticks(places, [_short_name(contender) for contender in contenders], color=theme.ink)
    axes.set_xlim(0, largest * 1.5)
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    idle_note = "; hatched: idle power of its models" if any(idle) else ""
    axes.set_xlabel(f"energy per request (J)\nfaint: misses the target{idle_note}")
    return _contender_title(summary)


def _contender_colour(contender: Contender, summary: Summary, theme: Theme) -> str:
    if contender is summary.router:
        return theme.accent
    return theme.rival if contender.reaches(summary.min_satisfaction) else theme.faded


def _bar_label(contender: Contender) -> str:
    return f"{joules(contender.joules_per_request)}, {percent(contender.mean_satisfaction)} satisfied"


def _short_name(contender: Contender) -> str:
    name = contender.name.removeprefix("single:")
    if len(contender.weights) > 1:
        name = f"{name}\n{weights(contender.weights).replace(' + ', ' +' + chr(10))}"
    return name


def _contender_title(summary: Summary) -> str:
    saving = summary.without_idle.saving
    missed = "" if summary.met else ", and missed the target"
    if not summary.without_idle.mixture_feasible:
        spent = joules(summary.router.joules_per_request)
        return f"No mixture reaches the target; the router spent {spent} per request"
    if not saving:
        return f"The router spent as much as the best static mixture{missed}"
    decimals = 0 if abs(saving) >= _WHOLE_PERCENT else 1
    difference = f"{percent(abs(saving), decimals)} {'less' if saving > 0 else 'more'}"
    return f"The router spent {difference} than the best static mixture{missed}"


def _satisfaction(axes: Axes, summary: Summary, theme: Theme) -> str:
    """The running mean against its target, with the moment from which it holds for good."""
    running, target = summary.trace.running_satisfaction, summary.min_satisfaction
    requests = np.arange(1, running.size + 1)
    short = (running < target).tolist()
    axes.fill_between(requests, running, target, where=short, color=theme.alarm, alpha=0.18, linewidth=0)
    axes.plot(requests, running, color=theme.accent, linewidth=2, marker=_marker(running))
    axes.axhline(target, color=theme.alarm, linewidth=1.4, linestyle=(0, (5, 3)))
    _label_target(axes, target, theme)
    _by_request(axes, running.size)
    if summary.met_from is not None:
        _mark_moment(axes, summary.met_from, float(running[summary.met_from - 1]), theme)
    axes.set_ylim(*_satisfaction_range(running, target))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(as_percent)
    axes.set_ylabel("mean satisfaction so far")
    return _satisfaction_title(summary)


def _satisfaction_title(summary: Summary) -> str:
    end = f"{percent(summary.router.mean_satisfaction)} at the end"
    if summary.met_from is None:
        return f"The target is never met for good: {end}"
    if summary.met_from == 1:
        return f"The target holds from the first request; {end}"
    return f"The target is met for good from request {summary.met_from:,}; {end}"


def _label_target(axes: Axes, target: float, theme: Theme) -> None:
    axes.annotate(
        f"target {percent(target)}",
        (1, target),
        (0, -4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="top",
        color=theme.alarm,
        fontsize=10,
    )


def _mark_moment(axes: Axes, request: int, satisfaction: float, theme: Theme) -> None:
    axes.axvline(request, color=theme.muted, linewidth=0.8)
    axes.plot([request], [satisfaction], "o", color=theme.accent, markersize=8, mec=theme.background)
    left_half = request < axes.get_xlim()[1] / 2
    axes.annotate(
        f"met for good from request {request:,}",
        (request, 0.06),
        (6 if left_half else -6, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if left_half else "right",
        fontsize=10,
    )


def _satisfaction_range(running: Floats, target: float) -> tuple[float, float]:
    """The settled part fills the figure; the first tenth jumps between 0 and 1 and may leave it."""
    settled = running[running.size // 10 :]
    low, high = min(float(settled.min()), target), max(float(settled.max()), target)
    margin = max(0.04, 0.25 * (high - low))
    return max(-0.02, low - 2 * margin), min(1.02, high + margin)


def _queue(axes: Axes, summary: Summary, theme: Theme) -> str:
    """The virtual queue: the debt to the target that pushes the choice to better models."""
    queue = summary.trace.virtual_queue
    requests = np.arange(1, queue.size + 1)
    axes.plot(requests, queue, color=theme.accent, linewidth=1.8, marker=_marker(queue))
    axes.fill_between(requests, queue, 0.0, color=theme.accent, alpha=0.15, linewidth=0)
    axes.axhline(0, color=theme.muted, linewidth=0.8)
    _by_request(axes, queue.size)
    axes.set_ylabel("virtual queue\n(answers owed to the target)")
    peak = int(queue.argmax())
    return f"The virtual queue peaks at {queue[peak]:.1f} (request {peak + 1:,}) and ends at {queue[-1]:.1f}"


def _shares(axes: Axes, summary: Summary, theme: Theme) -> str:
    """Who served, over a sliding window."""
    served = np.array(summary.trace.model_ids)
    chosen = (served[:, None] == np.array(summary.models)).astype(np.float64)
    window = max(1, served.size // _WINDOW_SHARE)
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(summary.models))]
    shares = _sliding_mean(chosen, window)
    axes.stackplot(np.arange(1, served.size + 1), shares.T, colors=colours, step="mid")
    labels = [f"{model}  {percent(summary.model_shares[model], 0)}" for model in summary.models]
    handles = [matplotlib.patches.Patch(color=colour) for colour in colours]
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    _by_request(axes, served.size, grid=False)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(as_percent)
    smoothed = f"\n(mean of {window:,} around each)" if window > 1 else ""
    axes.set_ylabel(f"share of requests{smoothed}")
    busiest = max(summary.models, key=lambda model: summary.model_shares[model])
    return f"{busiest} served most: {percent(summary.model_shares[busiest], 0)} of the requests"


def _sliding_mean(values: Floats, window: int) -> Floats:
    """Mean over the window around each row, cut at the ends; shape as given."""
    sums = np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
    rows = np.arange(values.shape[0])
    first = np.maximum(rows - window // 2, 0)
    last = np.minimum(first + window, values.shape[0])
    first = np.maximum(last - window, 0)
    means: Floats = (sums[last] - sums[first]) / (last - first)[:, None]
    return means


def _exploration(axes: Axes, summary: Summary, theme: Theme) -> str:
    """Joules so far, split into served and explored generations."""
    served, explored = np.cumsum(summary.trace.served_joules), np.cumsum(summary.trace.explored_joules)
    requests = np.arange(1, served.size + 1)
    total = served + explored
    axes.fill_between(requests, 0.0, served, color=theme.accent, linewidth=0, label="served answers")
    axes.fill_between(requests, served, total, color="#E69F00", linewidth=0, label="exploration")
    axes.legend(loc="upper left", frameon=False, reverse=True)
    _by_request(axes, served.size)
    axes.set_ylim(0, float(total[-1]) * 1.05 or 1.0)
    axes.set_ylabel("energy so far (J)")
    return f"Exploration took {percent(summary.exploration_share)} of the router's energy"


def _by_request(axes: Axes, count: int, grid: bool = True) -> None:
    axes.set_xlim(1, max(count, 2))
    axes.set_xlabel("request")
    if grid:
        axes.grid(axis="y")
        axes.set_axisbelow(True)


def _marker(values: Floats) -> str:
    """A line of one point would be invisible."""
    return "o" if values.size == 1 else ""
