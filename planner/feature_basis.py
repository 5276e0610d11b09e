"""Fits the basis of the embedding features to unlabelled prompts.

    python -m planner.feature_basis --prompts a.jsonl b.parquet --out services/core/data/feature_basis.npz

Prompts come from Parquet (column `prompt`; needs pyarrow), JSON lines (key `prompt`) or text (one a line).
Equal prompts count once. The basis is the mean, the first principal directions and the standard deviation
along each, of the static embeddings that routers use.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.core.features import COMPONENT_COUNT, MAX_EMBEDDED_CHARACTERS

Float32Array = npt.NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads prompts, fits the basis, writes it and says what it explains."""
    parser = argparse.ArgumentParser(prog="planner.feature_basis", description="Fits the feature basis.")
    parser.add_argument("--prompts", type=Path, nargs="+", required=True, help=".parquet, .jsonl or .txt")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    options = parser.parse_args(arguments)
    prompts = sorted({prompt for path in options.prompts for prompt in read_prompts(path)})
    if len(prompts) <= COMPONENT_COUNT:
        parser.error(f"{len(prompts)} different prompts, at least {COMPONENT_COUNT + 1} are needed")
    basis, explained = fit_basis(embed(prompts))
    np.savez(options.out, **basis)
    print(f"{options.out}: {len(prompts)} prompts, {explained:.1%} of the variance")  # noqa: T201


def read_prompts(path: Path) -> Iterable[str]:
    """The prompts of one file. Raises ValueError for another suffix than .parquet, .jsonl or .txt."""
    if path.suffix == ".parquet":
        return _parquet_prompts(path)
    if path.suffix not in (".jsonl", ".txt"):
        raise ValueError(f"--prompts {path}: allowed: .parquet, .jsonl or .txt")
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [json.loads(line)["prompt"] for line in lines] if path.suffix == ".jsonl" else lines


def _parquet_prompts(path: Path) -> list[str]:
    # Only this format needs the package, which nothing else of the project does.
    from pyarrow import parquet  # type: ignore[import-untyped,import-not-found,unused-ignore]

    return list(parquet.read_table(path, columns=["prompt"])["prompt"].to_pylist())


def embed(prompts: Sequence[str]) -> Float32Array:
    """Static embeddings, shape (number of prompts, 256), of prompts cut as routers cut them."""
    import wordllama

    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    embedded: Float32Array = model.embed([prompt[:MAX_EMBEDDED_CHARACTERS] for prompt in prompts])
    return embedded


def fit_basis(embeddings: Float32Array) -> tuple[dict[str, Any], float]:
    """`mean` (256,), `components` (16, 256) and `scale` (16,), float32, and the share of variance kept."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(embeddings))
    order = np.argsort(variances)[::-1][:COMPONENT_COUNT]
    components = directions[:, order].T
    # The sign of a principal direction is arbitrary: fixed, so that equal prompts give equal files.
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(COMPONENT_COUNT), largest])[:, None]
    basis = {"mean": mean, "components": components, "scale": np.sqrt(variances[order])}
    explained = float(variances[order].sum() / variances.sum())
    return {name: array.astype(np.float32) for name, array in basis.items()}, explained


if __name__ == "__main__":
    main()
