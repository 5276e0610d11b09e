"""Splits the energy of a large batch with arrays: what `attribute_window` does for one generation at a time.

The result is the same to the microjoule or there is none. Floating point places every part within a known
distance of its exact value; where that distance could change a rounding, the caller computes it exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from services.core.attribution import Step

__all__ = ["MIN_WORK", "StepColumns", "columns_of", "split_between"]

Array = NDArray[np.float64]
MIN_WORK = 16
"""Generations in a step from which on arrays are faster."""
_RELATIVE_ERROR = 1e-12
"""Above what some ten operations in double precision can be off by, and sums of a few thousand terms."""


class _Work(Protocol):
    @property
    def generation_id(self) -> str: ...
    @property
    def prefill_tokens(self) -> int: ...
    @property
    def decode_tokens(self) -> int: ...
    @property
    def context_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StepColumns:
    """The work of one step by columns, each (n,)."""

    generation_ids: tuple[str, ...]
    prefill_tokens: Array
    decode_tokens: Array
    context_tokens: Array


def columns_of(work: Sequence[_Work]) -> StepColumns | None:
    """The columns of a step that is large enough, else None."""
    if len(work) < MIN_WORK:
        return None
    return StepColumns(
        tuple([w.generation_id for w in work]),
        np.array([w.prefill_tokens for w in work], dtype=float),
        np.array([w.decode_tokens for w in work], dtype=float),
        np.array([w.context_tokens for w in work], dtype=float),
    )


def split_between(
    microjoules: int, steps: Sequence[tuple["Step", int]], idle_watts: float
) -> list[tuple[str, int, int, int]] | None:
    """Per generation its parts by prefill, decode and shared cost; None where this must be done exactly.

    `steps` come with their overlap with the window, ns > 0.
    """
    known = [each for each in (step.columns for step, _ in steps) if each is not None]
    if len(known) < len(steps):
        return None
    ids = known[0].generation_ids
    places: list[NDArray[np.int_] | slice] = [slice(None)] * len(known)
    if any(each.generation_ids != ids for each in known[1:]):
        index = {name: i for i, name in enumerate(dict.fromkeys(chain(*(k.generation_ids for k in known))))}
        ids = tuple(index)
        places = [np.array([index[name] for name in each.generation_ids]) for each in known]
    weights = np.zeros((len(ids), 3))
    for (step, overlap), columns, place in zip(steps, known, places, strict=True):
        weights[place] += _weights(step, columns, overlap, idle_watts)
    totals = weights.sum(axis=1)
    parts = _round_parts(microjoules, weights, totals, ids)
    causes = None if parts is None else _round_causes(parts, weights, totals)
    return None if causes is None else list(zip(ids, *causes.T.tolist(), strict=True))


def _weights(step: "Step", columns: StepColumns, overlap: int, idle_watts: float) -> Array:
    costs = step.coefficients
    duration = step.end_nanoseconds - step.start_nanoseconds
    attention = columns.context_tokens * costs.context_joules
    decoding = columns.decode_tokens > 0
    weights = np.empty((len(attention), 3))
    weights[:, 0] = columns.prefill_tokens * (
        costs.prefill_joules + costs.prefill_context_joules * columns.context_tokens
    )
    weights[:, 0] += np.where(decoding, 0.0, attention)
    weights[:, 1] = columns.decode_tokens * costs.decode_joules + np.where(decoding, attention, 0.0)
    weights[:, 2] = (idle_watts * duration * 1e-9 + costs.step_joules) / len(attention)
    weights *= overlap / duration
    return weights


def _round_parts(microjoules: int, weights: Array, totals: Array, ids: Sequence[str]) -> Array | None:
    """Largest remainders over generations, ties to the smaller id."""
    total = totals.sum()
    if not (np.isfinite(total) and total > 0 and microjoules < 2**40):
        return None
    exact = microjoules * (totals / total)
    parts: Array = np.floor(exact)
    remainders, doubt = exact - parts, (microjoules + 1) * _RELATIVE_ERROR
    if ((totals > 0) & ((remainders < doubt) | (remainders > 1 - doubt))).any():
        return None
    missing = microjoules - int(parts.sum())
    if not missing:
        return parts
    last = np.partition(remainders, len(ids) - missing)[len(ids) - missing]
    above, tied = remainders > last + doubt, np.abs(remainders - last) <= doubt
    rivals = np.flatnonzero(tied)
    if (weights[rivals] != weights[rivals[0]]).any():
        return None
    parts[above] += 1
    chosen = sorted(rivals.tolist(), key=lambda rival: ids[rival])[: missing - int(above.sum())]
    parts[chosen] += 1
    return parts


def _round_causes(parts: Array, weights: Array, totals: Array) -> NDArray[np.int64] | None:
    """Largest remainders over the three causes of each generation."""
    ratios = weights / np.where(totals > 0, totals, 1.0)[:, None]
    exact = parts[:, None] * ratios
    causes = np.floor(exact)
    remainders, doubt = exact - causes, ((parts + 1) * _RELATIVE_ERROR)[:, None]
    mixed = (ratios > 0) & (ratios < 1)
    if (mixed & ((remainders < doubt) | (remainders > 1 - doubt))).any() or (totals == 0).any():
        return None
    missing = (parts - causes.sum(axis=1)).astype(int)
    order = np.sort(remainders, axis=1)[:, ::-1]
    rows = np.flatnonzero(missing)
    gaps = order[rows, missing[rows] - 1] - order[rows, missing[rows]]
    if (gaps <= 2 * doubt[rows, 0]).any():
        return None
    causes[rows] += remainders[rows] >= order[rows, missing[rows] - 1][:, None]
    return causes.astype(np.int64)
