"""Features of a text: the mean vector of its tokens, whatever words are remembered, rounded as in the log."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.features import MAX_EMBEDDED_CHARACTERS
from services.router.adapters.static_embedding import (
    CompactFeatures,
    EmbeddingFeatures,
    StaticEmbedding,
    WordSums,
)

EMBEDDING = StaticEmbedding()
VECTORS = EMBEDDING.table.astype(np.float32)
WORDS = WordSums(EMBEDDING, VECTORS)
PIECES = [
    "the",
    "Answer",
    " ",
    "",
    "\n",
    "42",
    "naïve",
    "日本",
    "🙂",
    "x=1;",
    "\t",
    "a\u2581b",
    "\u2581",
    "a",
]
TEXTS = st.lists(st.sampled_from(PIECES)).map(" ".join) | st.text(max_size=60)


def mean_of_tokens(text: str) -> tuple[list[float], int]:
    ids = EMBEDDING.tokens([text])[0]
    return (VECTORS[ids].astype(np.float64).mean(axis=0) if ids else np.zeros(256)).tolist(), len(ids)


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_the_vector_of_a_text_is_the_mean_of_its_tokens(text: str) -> None:
    text = text.encode(errors="replace").decode()
    mean, count = WORDS.mean(text)
    expected, expected_count = mean_of_tokens(text)
    assert count == expected_count
    assert mean == pytest.approx(expected, abs=1e-5)


def test_no_token_goes_on_beyond_a_space() -> None:
    vocabulary = EMBEDDING._tokenizer.get_vocab()
    assert not [token for token in vocabulary if "▁" in token.lstrip("▁")]


def test_what_is_remembered_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "services.router.adapters.static_embedding"
    monkeypatch.setattr(f"{module}._REMEMBERED_BYTES", 8 * 4 * (VECTORS.shape[1] + 1))
    forgetful = WordSums(EMBEDDING, VECTORS)
    for text in ("one two three four", "five six seven", "one two eight nine ten", "one two three four"):
        mean, count = forgetful.mean(text)
        assert (mean, count) == (pytest.approx(mean_of_tokens(text)[0], abs=1e-5), mean_of_tokens(text)[1])


def test_features_are_rounded_and_cut() -> None:
    compact, raw = CompactFeatures(EMBEDDING), EmbeddingFeatures(EMBEDDING)
    for source, count in ((compact, 27), (raw, 256)):
        features = source.features("What is the capital of France?")
        assert features.shape == (count,)
        assert (features.astype("<f2") == features).all()
        assert np.isfinite(source.features("")).all()
    long = "word " * MAX_EMBEDDED_CHARACTERS
    assert (raw.features(long) == raw.features(long[:MAX_EMBEDDED_CHARACTERS])).all()
