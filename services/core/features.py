"""Features of a request: d = 27 numbers from its text and a static embedding.

1 (bias), 16 whitened principal components of the embedding, 10 cheap properties of the text; all but the
bias on fixed scales and clipped at +-3, so that no prompt can pull a predictor far.
"""

import math
import re
from collections.abc import Mapping

import numpy as np

from services.core.events import FloatArray

FEATURE_COUNT = 27
EMBEDDING_SIZE = 256
COMPONENT_COUNT = 16
TEXT_FEATURE_COUNT = 10
MAX_EMBEDDED_CHARACTERS = 4000
"""Longer prompts are cut to this before they are embedded: the rest moves the mean little and costs time."""

_CLIP = 3.0
_DIGITS = b"0123456789"
_SYMBOLS = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_NOT_ASCII = bytes(range(128, 256))
_CODE_MARKS = (
    "```",
    "def ",
    "print(",
    "\nimport ",
    "#include",
    "function(",
    "();",
    "</",
    "=> ",
    "!= ",
    "= [",
)
_OPTION_MARKS = ("A)", "A.", "A:")
_FIRST_OPTION = re.compile(r"(?:^|\s)\(?A[).:]\s")
_SECOND_OPTION = re.compile(r"\s\(?B[).:]\s")

_CENTRES = (5.5, 4.0, 4.3, 0.05, 0.02, 0.08, 0.01, 5.0, 0.0, 0.0)
_SCALES = (1.2, 1.2, 1.2, 0.06, 0.02, 0.05, 0.03, 6.0, 1.0, 1.0)


def text_features(text: str, token_count: int) -> FloatArray:
    """Cheap properties of a prompt, shape (10,), each in [-3, 3].

    In order: log characters, log words, log tokens (each of one plus the number); shares of digits,
    newlines, ASCII symbols, non-ASCII characters; number of newlines; whether it has code; whether it has
    lettered options. `token_count` >= 0.
    """
    # Bytes: deleting a set of bytes is one pass in C, some ten times faster than any pattern on a str.
    data = text.encode(errors="replace")
    ascii_only = data.translate(None, _NOT_ASCII)
    characters = max(1, len(text))
    digits = len(ascii_only) - len(ascii_only.translate(None, _DIGITS))
    symbols = len(ascii_only) - len(ascii_only.translate(None, _SYMBOLS))
    newlines = data.count(b"\n")
    raw = (
        math.log1p(len(text)),
        math.log1p(len(text.split())),
        math.log1p(token_count),
        digits / characters,
        newlines / characters,
        symbols / characters,
        (len(text) - len(ascii_only)) / characters,
        newlines,
        1.0 if _has_any(_CODE_MARKS, text) else 0.0,
        1.0 if _has_options(text) else 0.0,
    )
    # Ten numbers: plain floats are done before an array operation has begun.
    scaled = [(x - centre) / scale for x, centre, scale in zip(raw, _CENTRES, _SCALES, strict=True)]
    return np.array([-_CLIP if x < -_CLIP else min(x, _CLIP) for x in scaled])


def _has_any(marks: tuple[str, ...], text: str) -> bool:
    # A plain loop: a generator inside any() costs more than the searches.
    for mark in marks:  # noqa: SIM110
        if mark in text:
            return True
    return False


def _has_options(text: str) -> bool:
    # Two searches, since one pattern across both would take quadratic time on a hostile prompt.
    if not _has_any(_OPTION_MARKS, text):
        return False
    first = _FIRST_OPTION.search(text)
    return first is not None and _SECOND_OPTION.search(text, first.end() - 1) is not None


class FeatureMap:
    """Combines an embedding and text features into the vector that predictors see.

    Args:
        mean: of embeddings, shape (256,).
        components: their first principal directions, shape (16, 256), rows of length 1.
        scale: standard deviation of embeddings along each, shape (16,), > 0.

    Raises ValueError naming the array that is misshapen or not finite.

    """

    def __init__(self, mean: FloatArray, components: FloatArray, scale: FloatArray) -> None:
        _check("mean", mean, (EMBEDDING_SIZE,))
        _check("components", components, (COMPONENT_COUNT, EMBEDDING_SIZE))
        _check("scale", scale, (COMPONENT_COUNT,))
        if not (scale > 0.0).all():
            raise ValueError("scale must be above 0")
        self._projection: FloatArray = components.astype(np.float64) / scale.astype(np.float64)[:, None]
        self._offset: FloatArray = self._projection @ mean.astype(np.float64)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> "FeatureMap":
        """From a basis file's arrays `mean`, `components` and `scale`. Raises ValueError."""
        missing = {"mean", "components", "scale"} - set(arrays)
        if missing:
            raise ValueError(f"the feature basis lacks {', '.join(sorted(missing))}")
        return cls(arrays["mean"], arrays["components"], arrays["scale"])

    def features(self, embedding: FloatArray, text: FloatArray) -> FloatArray:
        """The vector of shape (27,) from an embedding (256,) and `text_features` (10,)."""
        return self.combined(self.components(embedding), text)

    def components(self, embeddings: FloatArray) -> FloatArray:
        """Whitened components of embeddings (..., 256), not clipped, shape (..., 16).

        The components of a mean of embeddings are the mean of their components, so that a static embedding
        can be projected once per token instead of once per prompt.
        """
        result: FloatArray = embeddings @ self._projection.T - self._offset
        return result

    def combined(self, components: FloatArray, text: FloatArray) -> FloatArray:
        """The vector of shape (27,) from `components` (16,) and `text_features` (10,)."""
        result = np.empty(FEATURE_COUNT)
        result[0] = 1.0
        clipped = result[1 : 1 + COMPONENT_COUNT]
        np.minimum(components, _CLIP, out=clipped)
        np.maximum(clipped, -_CLIP, out=clipped)
        result[1 + COMPONENT_COUNT :] = text
        return result


def _check(name: str, array: FloatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite")
