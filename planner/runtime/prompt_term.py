"""Time to the first token by prompt length, between and beyond the lengths that were measured."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from services.core.events import FloatArray

TILES = (64, 128, 256)
"""Tokens that matrix kernels work on at once: up to the next multiple, more tokens cost little more."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Part of the cost that grows with every token and not with every tile."""
_LEAST_FOR_TILES = 8
"""Measured lengths from which on steps can be told from noise."""


@dataclass(frozen=True, slots=True)
class PromptTerm:
    """A monotone curve through the measured lengths, linear in a mixture of tokens and started tiles."""

    lengths: FloatArray
    """Measured prompt tokens, rising, shape (n,)."""
    seconds: FloatArray
    """Monotone, shape (n,)."""
    tile: int
    """1: plain interpolation."""
    share: float
    """Of tokens; the rest counts tiles."""
    slope: float
    """Seconds per token of that mixture beyond the largest length, >= 0."""

    def at(self, prompt_tokens: FloatArray) -> FloatArray:
        """Seconds of each length, same shape; flat below the smallest one."""
        measured = _warped(self.lengths, self.tile, self.share)
        places = _warped(prompt_tokens, self.tile, self.share)
        beyond = np.maximum(0.0, places - measured[-1])
        seconds: FloatArray = np.interp(places, measured, self.seconds) + self.slope * beyond
        return seconds


def fit_prompt_term(measured: Mapping[int, float]) -> PromptTerm:
    """The term from seconds by prompt tokens, two lengths at least.

    Measurements that fall are pooled (isotonic regression); the tile is the one that predicts each inner
    length best from all others, none if that is best.
    """
    lengths = np.array(sorted(measured), dtype=np.float64)
    raw = np.array([measured[int(length)] for length in lengths])
    tile, share = _best_tile(lengths, raw)
    seconds: FloatArray = isotonic_regression(raw).x
    return PromptTerm(lengths, seconds, tile, share, _last_slope(_warped(lengths, tile, share), seconds))


def _best_tile(lengths: FloatArray, seconds: FloatArray) -> tuple[int, float]:
    plain = (1, 1.0)
    if len(lengths) < _LEAST_FOR_TILES:
        return plain
    candidates = [plain, *((tile, share) for tile in TILES for share in SHARES)]
    return min(candidates, key=lambda found: _left_out_error(_warped(lengths, *found), seconds))


def _left_out_error(places: FloatArray, seconds: FloatArray) -> float:
    """Mean relative error of every inner point, interpolated between its neighbours."""
    weight = (places[1:-1] - places[:-2]) / (places[2:] - places[:-2])
    predicted = seconds[:-2] + weight * (seconds[2:] - seconds[:-2])
    return float(np.abs(predicted / seconds[1:-1] - 1.0).mean())


def _last_slope(places: FloatArray, seconds: FloatArray) -> float:
    """Least-squares slope over the last quarter, two points at least."""
    count = max(2, len(places) // 4)
    return max(0.0, float(np.polyfit(places[-count:], seconds[-count:], 1)[0]))


def _warped(lengths: FloatArray, tile: int, share: float) -> FloatArray:
    return share * lengths + (1.0 - share) * tile * np.ceil(lengths / tile)
