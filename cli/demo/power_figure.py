"""Power over time, stacked by request: who drew what, and what of the meters' power belongs to nobody."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.colors
import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cli.demo.spent import PowerPoint, RunEnergy, SpentGeneration
from cli.demo.summary import Floats
from cli.demo.theme import Theme
from cli.demo.verdict import joules
from cli.picture import PALETTE

SHOWN_SECONDS = 60.0
"""A stretch in which single requests can still be told apart."""
MEAN_SECONDS = 10.0
_OTHER_SHADE = 0.6


def draw_power(axes: Axes, energy: RunEnergy, models: Sequence[str], theme: Theme) -> str:
    """Draws the middle of the run; returns the title. Colours are the models, shades tell requests apart."""
    if not energy.generations:
        axes.set_axis_off()
        return "No joules were attributed"
    begin, end = _stretch(energy)
    _stack(axes, energy.generations, models, begin, end)
    _meters(axes, energy.power, begin, end, theme)
    _legend(axes, energy, models, theme)
    axes.set_xlim(begin, end)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time (s)\neach band is a request: its joules, spread evenly over its time")
    axes.set_ylabel("power (W)")
    return _title(energy)


def _stretch(energy: RunEnergy) -> tuple[float, float]:
    """Begin and end of what is shown, s: the middle of the run."""
    first = min(generation.began_seconds for generation in energy.generations)
    last = max(generation.ended_seconds for generation in energy.generations)
    middle, half = (first + last) / 2, min(SHOWN_SECONDS, max(last - first, 1e-3)) / 2
    return middle - half, middle + half


def stacked(
    generations: Sequence[SpentGeneration], begin: float, end: float
) -> list[tuple[int, float, float, float, float]]:
    """Bars (number of the generation, begin, duration, bottom, watts) of the stretch from `begin` to `end`.

    Between two moments at which a generation begins or ends, those that run lie on top of each other in the
    order in which they are given.
    """
    times = {begin, end}
    for one in generations:
        times |= {t for t in (one.began_seconds, one.ended_seconds) if begin < t < end}
    bars, moments = [], sorted(times)
    for left, right in pairwise(moments):
        bottom = 0.0
        for number, one in enumerate(generations):
            if one.began_seconds <= left and right <= one.ended_seconds:
                bars.append((number, left, right - left, bottom, one.power_watts))
                bottom += one.power_watts
    return bars


def _stack(
    axes: Axes, generations: Sequence[SpentGeneration], models: Sequence[str], begin: float, end: float
) -> None:
    bars = stacked(generations, begin, end)
    if not bars:
        return
    numbers, lefts, widths, bottoms, heights = (np.array(column) for column in zip(*bars, strict=True))
    requests = list(dict.fromkeys(generation.figure.request_id for generation in generations))
    shade = {request_id: _OTHER_SHADE if i % 2 else 1.0 for i, request_id in enumerate(requests)}
    colours = [
        matplotlib.colors.to_rgba(
            _colour(models, generations[number].figure.model_id), shade[generations[number].figure.request_id]
        )
        for number in numbers
    ]
    axes.bar(lefts, heights, widths, bottoms, align="edge", color=colours, linewidth=0)


def smoothed(power: Sequence[PowerPoint], times: Floats) -> Floats:
    """Mean power over `MEAN_SECONDS` around each of `times`, W; a point is the mean since the one before.

    A worker's own meter is read where its steps end: several seconds of work can come at once.
    """
    at = np.array([point.time_seconds for point in power])
    watts = np.array([point.power_watts for point in power])
    joules_until = np.concatenate([[0.0], np.cumsum(np.diff(at) * watts[1:])])
    begins = np.maximum(times - MEAN_SECONDS / 2, at[0])
    ends = np.minimum(times + MEAN_SECONDS / 2, at[-1])
    spent = np.interp(ends, at, joules_until) - np.interp(begins, at, joules_until)
    means: Floats = spent / np.maximum(ends - begins, 1e-9)
    return means


def _meters(axes: Axes, power: Sequence[PowerPoint], begin: float, end: float, theme: Theme) -> None:
    """What was read in all, as far as it was watched."""
    times = np.array([point.time_seconds for point in power if begin <= point.time_seconds <= end])
    if times.size:
        axes.plot(times, smoothed(power, times), color=theme.ink, linewidth=1.3)


def _legend(axes: Axes, energy: RunEnergy, models: Sequence[str], theme: Theme) -> None:
    used = [m for m in models if any(g.figure.model_id == m for g in energy.generations)]
    handles: list[matplotlib.patches.Patch | Line2D] = [
        matplotlib.patches.Patch(color=_colour(models, model)) for model in used
    ]
    labels = list(used)
    if energy.power:
        handles.append(Line2D([], [], color=theme.ink, linewidth=1.3))
        labels.append(f"meters (mean of {MEAN_SECONDS:g} s)")
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)


def _colour(models: Sequence[str], model: str) -> str:
    return PALETTE[models.index(model) % len(PALETTE)] if model in models else PALETTE[-1]


def _title(energy: RunEnergy) -> str:
    attributed = joules(sum(generation.figure.energy_joules for generation in energy.generations))
    requests = len({generation.figure.request_id for generation in energy.generations})
    return f"Power over time by request: {attributed} in {requests:,} request{'' if requests == 1 else 's'}"
