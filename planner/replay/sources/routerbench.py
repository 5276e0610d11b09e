"""Outcomes from RouterBench's pickles, without pandas and without running what is in them.

A pickle is a program. This one may only name the few constructors that a pandas 1.x or 2.x table of numbers
and texts needs; those of pandas are replaced by inert ones that keep what they were given. Everything else
ends the reading.
"""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from planner.replay.outcomes import Outcomes, outcomes_from_columns
from services.core.errors import ConfigError, ConfigProblem

_COST = "|total_cost"
_NOTE = "RouterBench records dollars, not joules: every joule here is a dollar, unless stated with --energy."


def read_routerbench(path: Path, joules: Mapping[str, float]) -> Outcomes:
    """Reads `routerbench_0shot.pkl` or its siblings: `sample_id`, `prompt`, `eval_name`, and per model a
    score `<model>` and dollars `<model>|total_cost`, which stand for joules (policies are scale-free).

    `joules` replaces the dollars of the models it names, J per request. Raises ConfigError, OSError.
    """
    table = _unpickled(path)
    models = [name.removesuffix(_COST) for name in table if name.endswith(_COST)]
    models = [model for model in models if model in table]
    lacking = [name for name in ("sample_id", "prompt", "eval_name") if name not in table]
    if lacking or not models:
        wanted = ", ".join(lacking) or f"<model> and <model>{_COST}"
        raise _problem(path, "columns", ", ".join(map(str, table)) or "none", f"missing: {wanted}")
    if unknown := [model for model in joules if model not in models]:
        raise _problem(path, "--energy", ", ".join(unknown), f"models here: {', '.join(models)}")
    count = len(table["sample_id"])
    columns: dict[str, list[Any]] = {
        "request_id": list(table["sample_id"]) * len(models),
        "benchmark": list(table["eval_name"]) * len(models),
        "prompt": [_text(prompt) for prompt in table["prompt"]] * len(models),
        "model": [model for model in models for _ in range(count)],
        "correct": [value for model in models for value in table[model]],
        "energy_joules": [
            value
            for model in models
            for value in ([joules[model]] * count if model in joules else table[model + _COST])
        ],
    }
    return outcomes_from_columns(str(path), path.stem, columns, [_NOTE])


def _text(prompt: object) -> str:
    return "\n".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt)


# What a damaged pickle makes its reader raise, apart from UnpicklingError.
_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def _unpickled(path: Path) -> dict[str, list[Any]]:
    with path.open("rb") as file:
        try:
            frame = _TableUnpickler(file).load()
            return _columns(frame)
        except _UNREADABLE as error:
            why = f"a pandas 1.x or 2.x table of numbers and texts is needed ({error})"
            raise _problem(path, "format", "not readable as such a pickle", why) from None


class _Inert:
    """Stands for a class of pandas: keeps what it is given and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, dict[str, Any]()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


def _new_index(kind: Any, state: dict[str, Any]) -> dict[str, Any]:
    return state


def _numpy(name: str) -> Any:
    # Taken from a pickle of numpy's own, since these two live at other places in other versions.
    array = np.zeros(1)
    found = array.__reduce__()[0] if name == "_reconstruct" else array.__reduce_ex__(5)[0]
    if not callable(found):
        raise pickle.UnpicklingError(f"numpy has no {name}")
    return found


_FRAME = ("pandas.core.frame", "DataFrame")
_ALLOWED: dict[tuple[str, str], Callable[[], Any]] = {
    _FRAME: lambda: _Inert,
    ("pandas.core.internals.managers", "BlockManager"): lambda: _Inert,
    ("pandas._libs.internals", "_unpickle_block"): lambda: _Inert,
    ("pandas.core.indexes.base", "_new_Index"): lambda: _new_index,
    ("pandas.core.indexes.base", "Index"): lambda: _Inert,
    ("pandas.core.indexes.numeric", "Int64Index"): lambda: _Inert,
    ("pandas.core.indexes.range", "RangeIndex"): lambda: _Inert,
    ("builtins", "slice"): lambda: slice,
    ("numpy", "ndarray"): lambda: np.ndarray,
    ("numpy", "dtype"): lambda: np.dtype,
    **{(f"numpy.{c}.multiarray", "_reconstruct"): lambda: _numpy("_reconstruct") for c in ("core", "_core")},
    **{(f"numpy.{c}.numeric", "_frombuffer"): lambda: _numpy("_frombuffer") for c in ("core", "_core")},
}


class _TableUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
        return _ALLOWED[module, name]()


def _columns(frame: Any) -> dict[str, list[Any]]:
    """Column name -> values, from a frame's block manager: blocks of rows by column, each with its places."""
    if not isinstance(frame, _Inert) or "_mgr" not in frame.state:
        raise ValueError("it holds no table")
    blocks, axes = frame.state["_mgr"].arguments[:2]
    names = [str(name) for name in axes[0]["data"]]
    columns: dict[str, list[Any]] = {}
    for block in blocks:
        values, places = block.arguments[:2]
        indices = range(len(names))[places] if isinstance(places, slice) else places
        for index, row in zip(indices, values, strict=True):
            columns[names[index]] = row.tolist()
    return columns


def _problem(path: Path, key: str, value: str, allowed: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), key, value, allowed)])
