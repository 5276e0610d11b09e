"""Splits what a counter measured between the generations that ran meanwhile.

The model of a step's energy is affine: a fixed cost that exists once if anyone is served, plus what each
generation's own tokens cause. The fixed cost is shared equally, which makes every weight the generation's
Shapley value. Only ratios of weights matter, so the result always adds up to what was measured: all
energies here are whole microjoules, rounded by largest remainders.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from services.core.attribution_arrays import StepColumns, columns_of, split_between

__all__ = [
    "EnergyShare",
    "GenerationWork",
    "Step",
    "StepCoefficients",
    "UnattributedReason",
    "Window",
    "WindowAttribution",
    "apportion",
    "attribute_window",
]

Key = TypeVar("Key", bound=str)

_WEIGHT_RESOLUTION = 1 << 60
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


@dataclass(frozen=True, slots=True)
class Step:
    """An interval [start, end) of monotonic nanoseconds in which the active set did not change."""

    start_nanoseconds: int
    end_nanoseconds: int
    work: tuple[GenerationWork, ...]
    """The active set; empty for a step that served nobody, whose energy is overhead."""
    coefficients: StepCoefficients
    columns: StepColumns | None = field(init=False, compare=False, repr=False)
    """The work again, by columns, where it is large."""

    def __post_init__(self) -> None:
        """Raises ValueError for a step that does not end after it starts."""
        _require_duration(self.start_nanoseconds, self.end_nanoseconds)
        object.__setattr__(self, "columns", columns_of(self.work))


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


@dataclass(frozen=True, slots=True)
class EnergyShare:
    """Energy of one generation by cause, whole microjoules >= 0."""

    prefill_microjoules: int = 0
    decode_microjoules: int = 0
    shared_microjoules: int = 0

    @property
    def total_microjoules(self) -> int:
        """The three parts together."""
        return self.prefill_microjoules + self.decode_microjoules + self.shared_microjoules

    def __add__(self, other: "EnergyShare") -> "EnergyShare":
        """Adds part by part."""
        return EnergyShare(
            self.prefill_microjoules + other.prefill_microjoules,
            self.decode_microjoules + other.decode_microjoules,
            self.shared_microjoules + other.shared_microjoules,
        )


@dataclass(frozen=True, slots=True)
class WindowAttribution:
    """Who caused a window's energy: shares and unattributed add up to the window's energy exactly."""

    window: Window
    shares: Mapping[str, EnergyShare]
    """Per generation that was active in the window."""
    unattributed: Mapping[UnattributedReason, int]
    """Microjoules per reason; reasons with nothing are left out."""
    is_estimated: bool = False
    """True: no counter measured this window, its energy follows from coefficients and is in no balance."""


@dataclass(slots=True)
class _Weights:
    """Terms of one participant's weight; summed exactly, so that their order does not matter."""

    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)

    def total(self) -> float:
        return math.fsum([*self.prefill, *self.decode, *self.shared])


def apportion(total: int, weights: Mapping[Key, float]) -> dict[Key, int]:
    """Splits `total` >= 0 by `weights` into whole numbers that add up to it, by largest remainders.

    Ties go to the smaller key, so the result does not depend on the order of the mapping.
    Raises ValueError for a weight that is negative or not finite, or if all are 0.
    """
    for key, weight in weights.items():
        _require_weight(key, weight)
    largest = max(weights.values(), default=0.0)
    if largest == 0.0:
        raise ValueError("at least one weight must be above 0")
    whole = [int(weight / largest * _WEIGHT_RESOLUTION) for weight in weights.values()]
    whole_total = sum(whole)
    parts, remainders = {}, []
    for key, weight in zip(weights, whole, strict=True):
        parts[key], remainder = divmod(total * weight, whole_total)
        remainders.append((-remainder, key))
    missing = total - sum(parts.values())
    if missing:
        remainders.sort()
        for _, key in remainders[:missing]:
            parts[key] += 1
    return parts


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
        return _result(window, {}, {UnattributedReason.IDLE: idle, UnattributedReason.UNKNOWN: energy - idle})
    if (split := split_between(energy - idle, inside, idle_watts)) is not None:
        return _result(
            window, {i: EnergyShare(*causes) for i, *causes in split}, {UnattributedReason.IDLE: idle}
        )
    weights = _affine_weights(inside, idle_watts)
    if all(weight.total() == 0.0 for weight in weights.values()):
        weights = _time_weights(inside)
    # The empty id stands for the steps that served nobody.
    parts = apportion(energy - idle, {key: weight.total() for key, weight in weights.items()})
    overhead = parts.pop("", 0)
    shares = {key: _split_by_cause(part, weights[key]) for key, part in parts.items()}
    return _result(window, shares, {UnattributedReason.IDLE: idle, UnattributedReason.OVERHEAD: overhead})


def _affine_weights(inside: Sequence[tuple[Step, int]], idle_watts: float) -> dict[str, _Weights]:
    """sum_s o_sk w_is, with w_is = f_s / |S| + mu_is."""
    weights: dict[str, _Weights] = {}
    for step, overlap in inside:
        duration = step.end_nanoseconds - step.start_nanoseconds
        inside_fraction = overlap / duration
        fixed = idle_watts * duration * 1e-9 + step.coefficients.step_joules
        if not step.work:
            weights.setdefault("", _Weights()).shared.append(inside_fraction * fixed)
        for work in step.work:
            weight = weights.setdefault(work.generation_id, _Weights())
            prefill, decode = _marginal_joules(work, step.coefficients)
            weight.prefill.append(inside_fraction * prefill)
            weight.decode.append(inside_fraction * decode)
            weight.shared.append(inside_fraction * fixed / len(step.work))
    return weights


def _marginal_joules(work: GenerationWork, coefficients: StepCoefficients) -> tuple[float, float]:
    """mu_is split into what the prompt and what the generated tokens cause."""
    prefill = work.prefill_tokens * (
        coefficients.prefill_joules + coefficients.prefill_context_joules * work.context_tokens
    )
    decode = work.decode_tokens * coefficients.decode_joules
    attention = work.context_tokens * coefficients.context_joules
    # A step that generates nothing for this generation reads its context for the prompt's sake.
    return (prefill, decode + attention) if work.decode_tokens else (prefill + attention, decode)


def _time_weights(inside: Sequence[tuple[Step, int]]) -> dict[str, _Weights]:
    weights: dict[str, _Weights] = {}
    for step, overlap in inside:
        active = [work.generation_id for work in step.work] or [""]
        for generation_id in active:
            weights.setdefault(generation_id, _Weights()).shared.append(overlap / len(active))
    return weights


def _split_by_cause(microjoules: int, weights: _Weights) -> EnergyShare:
    """As `apportion` does, which would be slower for three."""
    prefill, decode, shared = math.fsum(weights.prefill), math.fsum(weights.decode), math.fsum(weights.shared)
    largest = max(prefill, decode, shared)
    if largest == 0.0:
        return EnergyShare(0, 0, microjoules)
    first = int(prefill / largest * _WEIGHT_RESOLUTION)
    second = int(decode / largest * _WEIGHT_RESOLUTION)
    third = int(shared / largest * _WEIGHT_RESOLUTION)
    whole = first + second + third
    first, first_left = divmod(microjoules * first, whole)
    second, second_left = divmod(microjoules * second, whole)
    third, third_left = divmod(microjoules * third, whole)
    missing = microjoules - first - second - third
    if missing:
        return _round_up(missing, [first, second, third], [first_left, second_left, third_left])
    return EnergyShare(first, second, third)


def _round_up(missing: int, parts: list[int], remainders: list[int]) -> EnergyShare:
    """Gives the missing microjoules to the largest remainders, ties to the earlier part."""
    for index in sorted(range(3), key=lambda index: (-remainders[index], index))[:missing]:
        parts[index] += 1
    return EnergyShare(*parts)


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
    window: Window, shares: dict[str, EnergyShare], unattributed: dict[UnattributedReason, int]
) -> WindowAttribution:
    return WindowAttribution(window, shares, {reason: part for reason, part in unattributed.items() if part})


def _require_weight(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}, must be finite and >= 0")


def _require_duration(start_nanoseconds: int, end_nanoseconds: int) -> None:
    if end_nanoseconds <= start_nanoseconds:
        raise ValueError(f"ends at {end_nanoseconds} ns, must be after its start at {start_nanoseconds} ns")
