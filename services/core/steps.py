"""What an engine computed in its steps, and what a step costs.

A step's energy is affine: a fixed cost that exists once if anyone is served, plus what each generation's own
tokens cause.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAUSES", "GenerationWork", "Step", "StepCoefficients", "StepWork", "step_costs"]

Array = NDArray[np.float64]

CAUSES = 3
"""Why energy is charged: the prompt, the generated tokens, costs shared with others."""
NOBODY = ""
"""Stands for whom a step served that served nobody; the first of all ids."""
_NOBODY_ALONE, _NOTHING_DONE = (NOBODY,), np.zeros((1, 3))


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
            require_weight(name, getattr(self, name))

    @property
    def of_tokens(self) -> tuple[float, float, float, float]:
        """alpha, alpha2, beta and kappa: all but the fixed cost."""
        return self.prefill_joules, self.prefill_context_joules, self.decode_joules, self.context_joules


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
    """What one step computed, by columns; iterating gives it generation by generation.

    The ids ascend, so that whoever is charged the odd microjoule does not depend on who was told first.
    """

    generation_ids: tuple[str, ...]
    """In ascending order."""
    tokens: Array
    """p, d and x of each: (n, 3)."""

    @classmethod
    def of(cls, *work: GenerationWork) -> "StepWork":
        """The columns of some generations' work."""
        rows = sorted(work, key=lambda each: each.generation_id)
        tokens = [(each.prefill_tokens, each.decode_tokens, each.context_tokens) for each in rows]
        ids = tuple(each.generation_id for each in rows)
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

    def __post_init__(self) -> None:
        """Raises ValueError for a step that does not end after it starts."""
        require_duration(self.start_nanoseconds, self.end_nanoseconds)

    @property
    def names(self) -> tuple[str, ...]:
        """The generations of `work`, or one that stands for nobody."""
        return self.work.generation_ids or _NOBODY_ALONE


def step_costs(steps: Sequence[Step]) -> Array:
    """What each of the `names` of each step in turn costs: (3, names).

    mu_is by cause, the prompt and the generated tokens, J; and 1/|S|, its part of the fixed cost.
    """
    sizes = np.array([len(step.names) for step in steps])
    tokens = [step.work.tokens if step.work else _NOTHING_DONE for step in steps]
    prefill, decode, context = np.concatenate(tokens).T
    of_tokens = np.array([step.coefficients.of_tokens for step in steps])
    alpha, alpha2, beta, kappa = of_tokens.T.repeat(sizes, axis=1)
    attention, decoding = context * kappa, decode > 0
    costs = np.empty((CAUSES, len(decode)))
    # A step that generates nothing for a generation reads its context for the prompt's sake.
    costs[0] = prefill * (alpha + alpha2 * context) + attention * ~decoding
    costs[1] = decode * beta + attention * decoding
    costs[2] = (1.0 / sizes).repeat(sizes)
    return costs


def require_weight(name: str, value: float) -> None:
    """Raises ValueError for what is negative or not finite."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}, must be finite and >= 0")


def require_duration(start_nanoseconds: int, end_nanoseconds: int) -> None:
    """Raises ValueError for what does not end after it starts."""
    if end_nanoseconds <= start_nanoseconds:
        raise ValueError(f"ends at {end_nanoseconds} ns, must be after its start at {start_nanoseconds} ns")
