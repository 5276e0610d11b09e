"""Splits what a counter measured between the generations that ran meanwhile.

The model of a step's energy is affine: a fixed cost that exists once if anyone is served, plus what each
generation's own tokens cause. The fixed cost is shared equally, which makes every weight the generation's
Shapley value. Only ratios of weights matter, so the result always adds up to what was measured: all
energies here are whole microjoules, rounded by largest remainders.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.core.apportion import apportion

__all__ = [
    "EnergyShare",
    "GenerationWork",
    "Step",
    "StepCoefficients",
    "StepWork",
    "UnattributedReason",
    "Window",
    "WindowAttribution",
    "attribute_window",
]

Array = NDArray[np.float64]

CAUSES = 3
"""Why energy is charged: the prompt, the generated tokens, costs shared with others."""
_NOBODY = ""
"""Stands for whom a step served that served nobody."""
_NO_MICROJOULES = np.zeros((0, CAUSES), dtype=np.int64)
_NANOSECONDS_PER_MICROJOULE_WATT = 1000.0


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
class StepCoefficients:
    """Marginal costs of a model on its hardware; only their ratios matter. All finite and >= 0."""

    prefill_joules: float
    """alpha: J per uncached prompt token."""
    prefill_context_joules: float
    """alpha2: J per uncached prompt token and token of context."""
    decode_joules: float
    """beta: J per generated token."""
    context_joules: float
    """kappa: J per token of context attended to in a step."""
    step_joules: float
    """F: J of a step, whoever is active."""

    def __post_init__(self) -> None:
        """Raises ValueError for a negative or non-finite coefficient."""
        for name in self.__slots__:
            _require_weight(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class GenerationWork:
    """What one step computed for one generation; counts >= 0."""

    generation_id: str
    prefill_tokens: int
    """p: uncached prompt tokens."""
    decode_tokens: int
    """d: generated tokens."""
    context_tokens: int
    """x: tokens of context attended to."""


@dataclass(frozen=True, slots=True, eq=False)
class StepWork:
    """What one step computed, by columns; iterating gives it generation by generation."""

    generation_ids: tuple[str, ...]
    tokens: Array
    """p, d and x of each: (n, 3)."""

    @classmethod
    def of(cls, *work: GenerationWork) -> "StepWork":
        """The columns of some generations' work."""
        tokens = [(each.prefill_tokens, each.decode_tokens, each.context_tokens) for each in work]
        ids = tuple(each.generation_id for each in work)
        return cls(ids, np.array(tokens, dtype=float).reshape(-1, 3))

    def __len__(self) -> int:
        """How many generations were active."""
        return len(self.generation_ids)

    def __iter__(self) -> Iterator[GenerationWork]:
        """Each generation's part."""
        for generation_id, tokens in zip(self.generation_ids, self.tokens.tolist(), strict=True):
            yield GenerationWork(generation_id, *map(int, tokens))


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """An interval [start, end) of monotonic nanoseconds in which the active set did not change."""

    start_nanoseconds: int
    end_nanoseconds: int
    work: StepWork
    """The active set; empty for a step that served nobody, whose energy is overhead."""
    coefficients: StepCoefficients
    names: tuple[str, ...] = field(init=False, repr=False)
    """The generations of `work`, or one that stands for nobody."""
    costs: Array = field(init=False, repr=False)
    """mu_is by cause, J, and each one's part 1/|S| of the fixed cost: (names, 3)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a step that does not end after it starts."""
        _require_duration(self.start_nanoseconds, self.end_nanoseconds)
        object.__setattr__(self, "names", self.work.generation_ids or (_NOBODY,))
        object.__setattr__(self, "costs", _marginal_joules(self.work, self.coefficients))


@dataclass(frozen=True, slots=True)
class Window:
    """The time between two counter readings, monotonic nanoseconds."""

    start_nanoseconds: int
    end_nanoseconds: int
    energy_microjoules: int
    """E_k: what the counter rose by, >= 0."""

    def __post_init__(self) -> None:
        """Raises ValueError for an empty window or negative energy."""
        _require_duration(self.start_nanoseconds, self.end_nanoseconds)
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
class WindowAttribution:
    """Who caused a window's energy: shares and unattributed add up to the window's energy exactly."""

    window: Window
    generation_ids: tuple[str, ...]
    """Who was active in the window."""
    microjoules: NDArray[np.int64]
    """The share of each by cause: (n, 3)."""
    unattributed: Mapping[UnattributedReason, int]
    """Microjoules per reason; reasons with nothing are left out."""
    is_estimated: bool = False
    """True: no counter measured this window, its energy follows from coefficients and is in no balance."""

    @property
    def shares(self) -> dict[str, EnergyShare]:
        """Per generation what it is charged with."""
        return dict(zip(self.generation_ids, map(EnergyShare._make, self.microjoules.tolist()), strict=True))


def attribute_window(window: Window, steps: Iterable[Step], idle_watts: float) -> WindowAttribution:
    """Splits the energy of `window` between the generations of the `steps` that overlap it.

    `idle_watts` (P_idle, >= 0) is what the meter shows while nobody is served. While steps run it is part of
    the cost that their generations share. Steps may overlap each other and reach beyond the window, in which
    case the fraction inside counts. Where all weights are 0, time is shared equally among the active.
    """
    _require_weight("idle_watts", idle_watts)
    inside = [(step, overlap) for step in steps if (overlap := _overlap_nanoseconds(step, window)) > 0]
    energy = window.energy_microjoules
    idle = _idle_microjoules(window, [step for step, _ in inside], idle_watts)
    if not inside:
        unknown = {UnattributedReason.UNKNOWN: energy - idle}
        return _result(window, (), _NO_MICROJOULES, {UnattributedReason.IDLE: idle, **unknown})
    names, weights = _whole_weights(_affine_weights(inside, idle_watts), inside)
    # Causes are told apart by position: a tie goes to the smaller id, then to the earlier cause.
    parts = apportion(energy - idle, weights.ravel(), lambda cell: (names[cell // CAUSES], cell % CAUSES))
    parts, overhead = parts.reshape(-1, CAUSES), 0
    if _NOBODY in names:
        nobody = names.index(_NOBODY)
        overhead = int(parts[nobody].sum())
        names, parts = (*names[:nobody], *names[nobody + 1 :]), np.delete(parts, nobody, axis=0)
    unattributed = {UnattributedReason.IDLE: idle, UnattributedReason.OVERHEAD: overhead}
    return _result(window, names, parts, unattributed)


def _affine_weights(inside: Sequence[tuple[Step, int]], idle_watts: float) -> Array:
    """o_sk w_is by cause, J, of every generation in every step: (entries, 3), with w_is = f_s/|S| + mu_is."""
    parts = []
    for step, overlap in inside:
        duration = step.end_nanoseconds - step.start_nanoseconds
        fraction = overlap / duration
        fixed_joules = idle_watts * duration * 1e-9 + step.coefficients.step_joules
        parts.append(step.costs * (fraction, fraction, fraction * fixed_joules))
    weights: Array = np.concatenate(parts)
    largest = float(weights.max())
    _require_weight("the largest weight", largest)
    if largest > 0.0:
        return weights
    return np.concatenate([step.costs * (0.0, 0.0, overlap) for step, overlap in inside])


def _whole_weights(weights: Array, inside: Sequence[tuple[Step, int]]) -> tuple[tuple[str, ...], Array]:
    """Ids and their weights by cause, (ids, 3), added up over steps as whole numbers.

    Whole numbers below 2**53 add up exactly in any order, so the order of the steps does not matter.
    """
    whole = np.rint(weights / weights.max() * 2.0 ** (52 - weights.size.bit_length()))
    names = inside[0][0].names
    if all(step.names == names for step, _ in inside):
        return names, whole.reshape(len(inside), len(names), CAUSES).sum(axis=0)
    places = {name: place for place, name in enumerate(dict.fromkeys(chain(*(s.names for s, _ in inside))))}
    rows = np.array([places[name] for step, _ in inside for name in step.names])
    sums = np.empty((len(places), CAUSES))
    for cause in range(CAUSES):
        sums[:, cause] = np.bincount(rows, whole[:, cause])
    return tuple(places), sums


def _marginal_joules(work: StepWork, costs: StepCoefficients) -> Array:
    """mu_is split into what the prompt and what the generated tokens cause; then 1/|S|."""
    if not work:
        return np.array([[0.0, 0.0, 1.0]])
    prefill, decode, context = work.tokens.T
    marginal = np.empty((len(work), CAUSES))
    # A step that generates nothing for a generation reads its context for the prompt's sake.
    attention, decoding = context * costs.context_joules, decode > 0
    marginal[:, 0] = prefill * (costs.prefill_joules + costs.prefill_context_joules * context)
    marginal[:, 0] += attention * ~decoding
    marginal[:, 1] = decode * costs.decode_joules + attention * decoding
    marginal[:, 2] = 1.0 / len(work)
    return marginal


def _idle_microjoules(window: Window, steps: Iterable[Step], idle_watts: float) -> int:
    """I_k: the idle power for as long as no step ran, at most what was measured."""
    uncovered = window.end_nanoseconds - window.start_nanoseconds
    covered_until = window.start_nanoseconds
    for step in sorted(steps, key=lambda step: step.start_nanoseconds):
        end = min(step.end_nanoseconds, window.end_nanoseconds)
        uncovered -= max(0, end - max(step.start_nanoseconds, covered_until))
        covered_until = max(covered_until, end)
    return min(window.energy_microjoules, round(idle_watts * uncovered / _NANOSECONDS_PER_MICROJOULE_WATT))


def _overlap_nanoseconds(step: Step, window: Window) -> int:
    start = max(step.start_nanoseconds, window.start_nanoseconds)
    return min(step.end_nanoseconds, window.end_nanoseconds) - start


def _result(
    window: Window,
    generation_ids: tuple[str, ...],
    microjoules: NDArray[np.int64],
    unattributed: dict[UnattributedReason, int],
) -> WindowAttribution:
    reasons = {reason: part for reason, part in unattributed.items() if part}
    return WindowAttribution(window, generation_ids, microjoules, reasons)


def _require_weight(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}, must be finite and >= 0")


def _require_duration(start_nanoseconds: int, end_nanoseconds: int) -> None:
    if end_nanoseconds <= start_nanoseconds:
        raise ValueError(f"ends at {end_nanoseconds} ns, must be after its start at {start_nanoseconds} ns")
