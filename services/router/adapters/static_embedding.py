"""Features of a text from a static embedding: the mean of its tokens' vectors, and the text's properties.

Uses the table and the tokenizer inside the `wordllama` wheel without importing it: its package pulls in
compiled parts and downloads that are not needed here.
"""

import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from services.common.event_codec import round_features
from services.core.errors import ConfigError, ConfigProblem
from services.core.events import FloatArray
from services.core.features import EMBEDDING_SIZE, MAX_EMBEDDED_CHARACTERS, FeatureMap, text_features

_TABLE = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_TENSOR = "embedding.weight"
_SPACE = "▁"
_REMEMBERED_BYTES = 4_000_000


class StaticEmbedding:
    """Tokens of a text, and a vector for each.

    Raises ConfigError where the `wordllama` wheel is not installed or is another one.
    """

    def __init__(self) -> None:
        folder = _package_folder()
        self._tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.table = _read_table(folder / _TABLE)
        self.begins_word = np.zeros(len(self.table), bool)
        """Which tokens begin with a space, shape (tokens,)."""
        for token, number in self._tokenizer.get_vocab().items():
            self.begins_word[number] = token.startswith(_SPACE)

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text: rows of `table`, shape (tokens, 256)."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


class WordSums:
    """Means of token vectors, with the sum of each word's vectors remembered.

    Tokenizing is the dearest part of a decision, and words repeat. No token of this tokenizer goes on
    beyond a space, so a text's tokens are those of its words; the new words of a text are tokenized at
    once and told apart by the tokens that begin with a space. The result does not depend on what is
    remembered.

    Args:
        embedding: the tokenizer.
        vectors: one row per token, shape (tokens, n).

    """

    def __init__(self, embedding: StaticEmbedding, vectors: npt.NDArray[np.float32]) -> None:
        self._embedding, self._vectors = embedding, vectors
        self._rows: dict[str, int] = {}
        width = vectors.shape[1] + 1
        self._sums = np.empty((_REMEMBERED_BYTES // (4 * width), width), np.float32)

    def mean(self, text: str) -> tuple[FloatArray, int]:
        """Mean vector of the text's beginning, shape (n,), and its number of tokens; zeros for none."""
        text = text[:MAX_EMBEDDED_CHARACTERS]
        if _SPACE in text:
            return self._mean_of_all(text)
        words = text.split(" ") if text else []
        rows = self._rows
        try:
            found = [rows[word] for word in words]
        except KeyError:
            if not self._remember([word for word in dict.fromkeys(words) if word not in rows]):
                return self._mean_of_all(text)
            found = [rows[word] for word in words]
        total: FloatArray = np.add.reduce(self._sums.take(found, 0), 0, dtype=np.float64)
        count = int(total[-1])
        return total[:-1] / max(count, 1), count

    def _mean_of_all(self, text: str) -> tuple[FloatArray, int]:
        ids = self._embedding.tokens([text])[0]
        total: FloatArray = np.add.reduce(self._vectors.take(ids, 0), 0, dtype=np.float64)
        return total / max(len(ids), 1), len(ids)

    def _remember(self, new: list[str]) -> bool:
        """Takes words in. False where they cannot be told apart (spaces in a row) or there is no room."""
        if len(self._rows) + len(new) > len(self._sums):
            self._rows.clear()
            return False
        ids = np.array(self._embedding.tokens([" ".join(new)])[0], np.intp)
        begins = np.flatnonzero(self._embedding.begins_word[ids])
        if "" in new or len(begins) != len(new) or begins[0] != 0:
            return False
        first = len(self._rows)
        rows = self._sums[first : first + len(new)]
        np.add.reduceat(self._vectors.take(ids, 0), begins, 0, out=rows[:, :-1])
        rows[:, -1] = np.diff(begins, append=len(ids))
        self._rows.update(zip(new, range(first, first + len(new)), strict=True))
        return True


class CompactFeatures:
    """`FeatureSource` of 27 numbers: principal components of the embedding and properties of the text."""

    def __init__(self, embedding: StaticEmbedding) -> None:
        self._map = FeatureMap.from_arrays(_basis())
        # Projected once per token: the table shrinks to a sixteenth, and stays in the processor's cache.
        self._of_nothing = self._map.components(np.zeros(EMBEDDING_SIZE))
        components = self._map.components(embedding.table)
        self._words = WordSums(embedding, components.astype(np.float32))

    def features(self, text: str) -> FloatArray:
        """See `FeatureSource`."""
        components, count = self._words.mean(text)
        components = components if count else self._of_nothing
        return round_features(self._map.combined(components, text_features(text, count)))


class EmbeddingFeatures:
    """`FeatureSource` of the embedding alone, 256 numbers."""

    def __init__(self, embedding: StaticEmbedding) -> None:
        self._words = WordSums(embedding, embedding.table.astype(np.float32))

    def features(self, text: str) -> FloatArray:
        """See `FeatureSource`."""
        return round_features(self._words.mean(text)[0])


def _package_folder() -> Path:
    found = importlib.util.find_spec("wordllama")
    if found is None or found.origin is None:
        problem = ConfigProblem("environment", "wordllama", "(missing)", "install messplus[router]")
        raise ConfigError([problem])
    return Path(found.origin).parent


def _read_table(path: Path) -> FloatArray:
    """The one tensor of a safetensors file: 8 bytes of header length, a JSON header, raw numbers."""
    try:
        data = path.read_bytes()
    except OSError as error:
        problem = ConfigProblem(str(path), "embedding table", "(unreadable)", str(error.strerror))
        raise ConfigError([problem]) from error
    begin = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:begin])[_TENSOR]
    if header["dtype"] != "F16" or header["shape"][1] != EMBEDDING_SIZE:
        problem = ConfigProblem(str(path), _TENSOR, str(header), f"must be float16 of width {EMBEDDING_SIZE}")
        raise ConfigError([problem])
    count = header["shape"][0] * header["shape"][1]
    raw = np.frombuffer(data, "<f2", count, begin + header["data_offsets"][0])
    return raw.reshape(header["shape"])


def _basis() -> dict[str, FloatArray]:
    file = resources.files("services.core").joinpath("data/feature_basis.npz")
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
