"""Recorded outcomes: what every model made of every request, checked before anything is computed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.core.errors import ConfigError, ConfigProblem
from services.core.event_checks import MAX_ENERGY_JOULES
from services.core.events import FloatArray

__all__ = ["REQUIRED_COLUMNS", "Columns", "Outcomes", "number_problem", "outcomes_from_columns"]

Columns = Mapping[str, Sequence[Any]]
"""A table: column name -> one value per row."""

REQUIRED_COLUMNS = ("request_id", "benchmark", "prompt", "model", "correct", "energy_joules")
TOKEN_COLUMNS = ("prompt_tokens", "completion_tokens")
_TEXTS = REQUIRED_COLUMNS[:4]
_TOPS = {"correct": 1.0, "energy_joules": MAX_ENERGY_JOULES}
_ALLOWED = {
    "correct": "a number from 0 to 1",
    "energy_joules": f"a number from 0 to {MAX_ENERGY_JOULES:g}",
    "prompt_tokens": "a finite number of at least 0",
    "completion_tokens": "a finite number of at least 0",
}


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Every model's outcome on every request; n requests, M models from smallest to largest.

    The size of a model is its mean joules per completion token where tokens are known (what hardware and
    weights make it, whatever it rambles), else its mean joules per request.
    """

    dataset: str
    """Name of the data, for people."""
    request_ids: tuple[str, ...]
    """Of the n requests, all different."""
    benchmarks: tuple[str, ...]
    """Topic of each request."""
    prompts: tuple[str, ...]
    """Text of each request; empty strings where only features were recorded."""
    model_ids: tuple[str, ...]
    """Of the M models."""
    satisfaction: FloatArray
    """Shape (n, M), in [0, 1]."""
    energy_joules: FloatArray
    """Shape (n, M), >= 0."""
    tokens: FloatArray | None = None
    """Prompt and completion tokens, shape (n, M, 2); None where they were not recorded."""
    features: FloatArray | None = None
    """Shape (n, d), where they were recorded instead of prompts."""
    notes: tuple[str, ...] = field(default=())
    """What a reader of the results must know of this data."""

    def __len__(self) -> int:
        return len(self.request_ids)

    def joules_per_token(self) -> FloatArray | None:
        """Joules per completion token of each model, shape (M,); None where tokens are not known."""
        if self.tokens is None or not (self.tokens[:, :, 1].sum(axis=0) > 0).all():
            return None
        result: FloatArray = self.energy_joules.sum(axis=0) / self.tokens[:, :, 1].sum(axis=0)
        return result


def outcomes_from_columns(place: str, dataset: str, columns: Columns, notes: Sequence[str] = ()) -> Outcomes:
    """Outcomes from a table of one row per request and model; columns beyond the known ones are ignored.

    Raises ConfigError that names every problem at once, `place` being where the table is from: missing
    columns, no rows, values that are missing or out of range, a model without a row for a request,
    two rows for the same, rows of one request that differ in prompt or benchmark.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        present = ", ".join(columns) or "none"
        raise ConfigError([ConfigProblem(place, "columns", present, f"missing: {', '.join(missing)}")])
    if not len(columns["request_id"]):
        raise ConfigError([ConfigProblem(place, "rows", "0", "at least one request is needed")])
    numbers = [n for n in (*_ALLOWED,) if n in columns and (n in REQUIRED_COLUMNS or _is_filled(columns[n]))]
    problems = [*_text_problems(place, columns), *_number_problems(place, columns, numbers)]
    if problems:
        raise ConfigError(problems)
    table = _Table(columns)
    if problems := table.problems(place):
        raise ConfigError(problems)
    return table.outcomes(dataset, all(name in numbers for name in TOKEN_COLUMNS), notes)


def _is_filled(values: Sequence[Any]) -> bool:
    # Tokens are optional: a column of nothing counts as absent, one with gaps is a mistake.
    return any(value is not None for value in values)


def _text_problems(place: str, columns: Columns) -> list[ConfigProblem]:
    problems = []
    for name in _TEXTS:
        may_be_empty = name == "prompt"
        bad = [i for i, v in enumerate(columns[name]) if v is None or (not may_be_empty and str(v) == "")]
        if bad:
            problems.append(_bad_rows(place, name, columns[name], bad, "a text"))
    return problems


def _number_problems(place: str, columns: Columns, names: Iterable[str]) -> list[ConfigProblem]:
    found = (number_problem(place, name, columns[name], name) for name in names)
    return [problem for problem in found if problem is not None]


def number_problem(place: str, name: str, values: Sequence[Any], kind: str) -> ConfigProblem | None:
    """What is wrong with a column's values; `kind` is the required or token column whose range they keep."""
    top = _TOPS.get(kind, math.inf)
    bad = [i for i, value in enumerate(values) if not _is_within(value, top)]
    return _bad_rows(place, name, values, bad, _ALLOWED[kind]) if bad else None


def _is_within(value: Any, top: float) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and 0.0 <= number <= top


def _bad_rows(place: str, name: str, values: Sequence[Any], rows: list[int], allowed: str) -> ConfigProblem:
    others = f" and in {len(rows) - 1:,} more" if len(rows) > 1 else ""
    return ConfigProblem(place, name, f"{values[rows[0]]!r} in row {rows[0] + 1:,}{others}", allowed)


class _Table:
    """Rows sorted into requests (in order of appearance) and models (in order of appearance)."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._requests = {name: i for i, name in enumerate(dict.fromkeys(map(str, columns["request_id"])))}
        self._models = {name: i for i, name in enumerate(dict.fromkeys(map(str, columns["model"])))}
        self._at_request = np.array([self._requests[str(name)] for name in columns["request_id"]])
        self._at_model = np.array([self._models[str(name)] for name in columns["model"]])

    def problems(self, place: str) -> list[ConfigProblem]:
        """What keeps the rows from being one outcome per request and model, each with joules."""
        counts = np.zeros((len(self._requests), len(self._models)), np.int64)
        np.add.at(counts, (self._at_request, self._at_model), 1)
        found = [*self._gaps(place, counts), *self._repeats(place, counts)]
        found += self._differences(place, "prompt") + self._differences(place, "benchmark")
        if not found:
            means = self._matrix("energy_joules").mean(axis=0)
            found = [
                ConfigProblem(place, f"energy_joules of {model}", "0 in every row", "above 0 in some row")
                for model, i in self._models.items()
                if means[i] <= 0.0
            ]
        return found

    def _gaps(self, place: str, counts: Any) -> list[ConfigProblem]:
        names, total, found = list(self._requests), len(self._requests), []
        for model, i in self._models.items():
            lacking = np.flatnonzero(counts[:, i] == 0)
            if lacking.size:
                value = f"no row for {lacking.size:,} of {total:,} requests, first {names[lacking[0]]!r}"
                found.append(ConfigProblem(place, f"model {model}", value, "one row per request"))
        return found

    def _repeats(self, place: str, counts: Any) -> list[ConfigProblem]:
        twice = np.argwhere(counts > 1)
        if not twice.size:
            return []
        request, model = list(self._requests)[twice[0][0]], list(self._models)[twice[0][1]]
        others = f" and {len(twice) - 1:,} more pairs" if len(twice) > 1 else ""
        value = f"{counts.max()} rows of {request!r} by {model}{others}"
        return [ConfigProblem(place, "request_id", value, "one row per request and model")]

    def _differences(self, place: str, name: str) -> list[ConfigProblem]:
        firsts = self._first(name)
        bad = [
            i
            for i, (v, r) in enumerate(zip(self._columns[name], self._at_request, strict=True))
            if str(v) != firsts[r]
        ]
        if not bad:
            return []
        request = self._columns["request_id"][bad[0]]
        value = f"row {bad[0] + 1:,} of request {request!r} has another one ({len(bad):,} such rows)"
        return [ConfigProblem(place, name, value, "the same in all rows of a request")]

    def _first(self, name: str) -> list[str]:
        values: dict[int, str] = {}
        for value, request in zip(self._columns[name], self._at_request.tolist(), strict=True):
            values.setdefault(request, str(value))
        return list(values.values())

    def _matrix(self, name: str) -> FloatArray:
        matrix = np.zeros((len(self._requests), len(self._models)))
        matrix[self._at_request, self._at_model] = [float(value) for value in self._columns[name]]
        return matrix

    def outcomes(self, dataset: str, with_tokens: bool, notes: Sequence[str]) -> Outcomes:
        joules = self._matrix("energy_joules")
        tokens = np.stack([self._matrix(name) for name in TOKEN_COLUMNS], axis=2) if with_tokens else None
        sizes = joules.mean(axis=0)
        if tokens is not None and (tokens[:, :, 1].sum(axis=0) > 0).all():
            sizes = joules.sum(axis=0) / tokens[:, :, 1].sum(axis=0)
        order = np.argsort(sizes, kind="stable")
        return Outcomes(
            dataset,
            tuple(self._requests),
            tuple(self._first("benchmark")),
            tuple(self._first("prompt")),
            tuple(np.array(list(self._models))[order].tolist()),
            self._matrix("correct")[:, order],
            joules[:, order],
            None if tokens is None else tokens[:, order],
            notes=tuple(notes),
        )
