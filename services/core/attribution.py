"""Splits what a counter measured between the generations that ran meanwhile.

The model of a step's energy is affine (see `steps`). The fixed cost is shared equally, which makes every
weight the generation's Shapley value. Only ratios of weights matter, so the result always adds up to what was
measured: all energies here are whole microjoules, rounded by largest remainders.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.core.apportion import apportion
from services.core.steps import CAUSES, NOBODY, Step, require_duration, require_weight, step_costs

__all__ = ["Attribution", "EnergyShare", "UnattributedReason", "Window", "attribute"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_NANOSECONDS_PER_MICROJOULE_WATT = 1000.0
_SECONDS_PER_NANOSECOND = 1e-9


class UnattributedReason(StrEnum):
    """Why measured energy belongs to no generation."""

    IDLE = "idle"
    """Nobody was served: the idle power, for as long as no step ran."""
    OVERHEAD = "overhead"
    """Loading, warming up, and steps that served nobody."""
    LATE = "late"
    """Caused by steps that were reported after their window had closed."""
    UNKNOWN = "unknown"
    """Above the idle power while no step is known."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time between two counter readings, monotonic nanoseconds."""

    start_nanoseconds: int
    end_nanoseconds: int
    energy_microjoules: int
    """E_k: what the counter rose by, >= 0."""

    def __post_init__(self) -> None:
        """Raises ValueError for an empty window or negative energy."""
        require_duration(self.start_nanoseconds, self.end_nanoseconds)
        if self.energy_microjoules < 0:
            raise ValueError(f"energy_microjoules is {self.energy_microjoules}, must be >= 0")


class EnergyShare(NamedTuple):
    """Energy of one generation by cause, whole microjoules >= 0."""

    prefill_microjoules: int = 0
    decode_microjoules: int = 0
    shared_microjoules: int = 0

    @property
    def total_microjoules(self) -> int:
        """The three parts together."""
        return self.prefill_microjoules + self.decode_microjoules + self.shared_microjoules


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Who caused the energy of windows: shares and unattributed add up to each window's energy exactly."""

    windows: tuple[Window, ...]
    generation_ids: tuple[str, ...]
    """Who was active in any of them, ascending."""
    microjoules: Integers
    """The share of each by window and cause: (windows, generations, 3)."""
    reasons: tuple[Mapping[UnattributedReason, int], ...]
    """Unattributed microjoules per window and reason; reasons with nothing are left out."""
    is_estimated: bool = False
    """True: no counter measured this, the energy follows from coefficients and is in no balance."""

    @property
    def above_idle_microjoules(self) -> Integers:
        """What each window took above the idle: (windows,)."""
        idle = UnattributedReason.IDLE
        energies = zip(self.windows, self.reasons, strict=True)
        return np.array([window.energy_microjoules - reasons.get(idle, 0) for window, reasons in energies])

    @property
    def shares(self) -> dict[str, EnergyShare]:
        """Per generation what it is charged with, all windows together."""
        rows = self.microjoules.sum(axis=0).tolist()
        return dict(zip(self.generation_ids, map(EnergyShare._make, rows), strict=True))

    @property
    def unattributed(self) -> Counter[UnattributedReason]:
        """Microjoules per reason, all windows together."""
        return sum(map(Counter, self.reasons), Counter())


class _Overlap(NamedTuple):
    """A step as far as it lies in a window."""

    step: Step
    nanoseconds: int


def attribute(windows: Sequence[Window], steps: Iterable[Step], idle_watts: float) -> Attribution:
    """Splits the energy of each of the `windows` between the generations of the `steps` that overlap it.

    `idle_watts` (P_idle, >= 0) is what the meter shows while nobody is served. While steps run it is part of
    the cost that their generations share. Steps may overlap each other and reach beyond the window, in which
    case the fraction inside counts. Where all weights are 0, time is shared equally among the active.
    """
    require_weight("idle_watts", idle_watts)
    known = list(steps)
    inside = [_inside(window, known) for window in windows]
    idle = [_idle_microjoules(window, own, idle_watts) for window, own in zip(windows, inside, strict=True)]
    above_idle = [window.energy_microjoules - part for window, part in zip(windows, idle, strict=True)]
    ids = _active(inside)
    microjoules = np.zeros((len(windows), len(ids), CAUSES), dtype=np.int64)
    if busy := [place for place, own in enumerate(inside) if own]:
        weights = _whole_weights([inside[place] for place in busy], ids, idle_watts)
        # Rows are by id, then by cause: so a tie goes to the smaller id, then to the earlier cause.
        parts = apportion(np.array([above_idle[place] for place in busy]), weights.reshape(len(busy), -1))
        microjoules[busy] = parts.reshape(weights.shape)
    nobody = int(ids[:1] == (NOBODY,))
    overhead = microjoules[:, :nobody].sum(axis=(1, 2)).tolist()
    unknown = [0 if own else rest for own, rest in zip(inside, above_idle, strict=True)]
    reasons = tuple(map(_reasons, idle, overhead, unknown))
    return Attribution(tuple(windows), ids[nobody:], microjoules[:, nobody:], reasons)


def _inside(window: Window, steps: Iterable[Step]) -> list[_Overlap]:
    overlaps = []
    for step in steps:
        start = max(step.start_nanoseconds, window.start_nanoseconds)
        if (nanoseconds := min(step.end_nanoseconds, window.end_nanoseconds) - start) > 0:
            overlaps.append(_Overlap(step, nanoseconds))
    return overlaps


def _active(inside: Iterable[Sequence[_Overlap]]) -> tuple[str, ...]:
    """Everyone in the steps, ascending."""
    names = {overlap.step.names for overlap in chain.from_iterable(inside)}
    return next(iter(names)) if len(names) == 1 else tuple(sorted({*chain.from_iterable(names)}))


def _whole_weights(inside: Sequence[Sequence[_Overlap]], ids: Sequence[str], idle_watts: float) -> Array:
    """Weights of windows that steps overlap, added up over steps as whole numbers: (windows, ids, 3).

    Whole numbers below 2**53 add up exactly in any order, so the order of the steps does not matter. An entry
    is one generation in one step in one window.
    """
    overlaps = list(chain.from_iterable(inside))
    counts = np.array([len(own) for own in inside])
    sizes = np.array([len(overlap.step.names) for overlap in overlaps])
    costs = step_costs([overlap.step for overlap in overlaps])
    factors = np.array([_factors(overlap, idle_watts) for overlap in overlaps]).T
    largest = _largest(costs, factors, sizes, counts)
    require_weight("the largest weight", float(largest.max()))
    if not largest.all():
        free = (largest == 0).repeat(counts)
        factors[:, free] = 0.0
        factors[2, free] = [
            overlap.nanoseconds for overlap, is_free in zip(overlaps, free, strict=True) if is_free
        ]
        largest = _largest(costs, factors, sizes, counts)
    weights = costs * factors.repeat(sizes, axis=1) / largest.repeat(counts).repeat(sizes)
    whole = np.rint(weights * 2.0 ** (52 - weights.size.bit_length()))
    cells = _places(overlaps, ids) + (len(ids) * np.arange(len(inside)).repeat(counts)).repeat(sizes)
    sums = np.empty((len(inside) * len(ids), CAUSES))
    for cause, column in enumerate(whole):
        sums[:, cause] = np.bincount(cells, column, len(sums))
    return sums.reshape(len(inside), len(ids), CAUSES)


def _places(overlaps: Sequence[_Overlap], ids: Sequence[str]) -> NDArray[np.intp]:
    """Where in `ids` each entry's generation stands."""
    place_of = {name: place for place, name in enumerate(ids)}
    names, places, found = None, np.empty(0, dtype=np.intp), []
    for step, _ in overlaps:
        if step.names is not names:
            names = step.names
            places = np.array([place_of[name] for name in names])
        found.append(places)
    return np.concatenate(found)


def _largest(costs: Array, factors: Array, sizes: Integers, counts: Integers) -> Array:
    """The largest weight in each window, of `counts` overlaps of `sizes` entries."""
    of_overlap = (np.maximum.reduceat(costs, _starts(sizes), axis=1) * factors).max(axis=0)
    largest: Array = np.maximum.reduceat(of_overlap, _starts(counts))
    return largest


def _starts(lengths: Integers) -> Integers:
    """Where each of some runs begins."""
    return np.cumsum(lengths) - lengths


def _factors(overlap: _Overlap, idle_watts: float) -> tuple[float, float, float]:
    """What costs count in a window: o_sk, and o_sk f_s of those that are shared, J."""
    step = overlap.step
    duration = step.end_nanoseconds - step.start_nanoseconds
    fraction = overlap.nanoseconds / duration
    fixed_joules = idle_watts * duration * _SECONDS_PER_NANOSECOND + step.coefficients.step_joules
    return fraction, fraction, fraction * fixed_joules


def _idle_microjoules(window: Window, overlaps: Iterable[_Overlap], idle_watts: float) -> int:
    """I_k: the idle power for as long as no step ran, at most what was measured."""
    uncovered = window.end_nanoseconds - window.start_nanoseconds
    covered_until = window.start_nanoseconds
    for step in sorted((each.step for each in overlaps), key=lambda step: step.start_nanoseconds):
        end = min(step.end_nanoseconds, window.end_nanoseconds)
        uncovered -= max(0, end - max(step.start_nanoseconds, covered_until))
        covered_until = max(covered_until, end)
    return min(window.energy_microjoules, round(idle_watts * uncovered / _NANOSECONDS_PER_MICROJOULE_WATT))


def _reasons(idle: int, overhead: int, unknown: int) -> dict[UnattributedReason, int]:
    parts = {
        UnattributedReason.IDLE: idle,
        UnattributedReason.OVERHEAD: overhead,
        UnattributedReason.UNKNOWN: unknown,
    }
    return {reason: part for reason, part in parts.items() if part}
