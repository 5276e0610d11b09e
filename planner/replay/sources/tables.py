"""Outcomes from tables with one row per request: MESS+'s CSV and RouteLLM's."""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from planner.replay.outcomes import Columns, Outcomes, number_problem, outcomes_from_columns
from services.core.errors import ConfigError, ConfigProblem

_LABEL, _ENERGY = "label_", "energy_consumption_"
_RESPONSE = "_response"
_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


def read_csv(path: Path, joules: Mapping[str, float]) -> Outcomes:
    """Reads MESS+'s CSV (`input_text`, `label_<model>`, `energy_consumption_<model>`) or RouteLLM's.

    RouteLLM's have `prompt` and one True/False column per model; `path` may be a folder of such files, one
    per benchmark. They record no energy: `joules` gives each model's, J per request. In MESS+'s files it
    replaces what was recorded. Raises ConfigError naming what is missing or wrong, OSError.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise _problem(path, "files", "0", "a folder must hold at least one .csv")
    tables = {file: _rows(file) for file in files}
    if "input_text" in tables[files[0]]:
        return _messplus(path, tables, joules)
    return _routellm(path, tables, joules)


def _rows(path: Path) -> Columns:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [row for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _problem(path, "format", "not readable as CSV in UTF-8", str(error)) from None
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise _problem(path, "columns", ", ".join(twice), "each name once")
    if ragged := [i for i, row in enumerate(rows, start=1) if len(row) != len(header)]:
        fields = f"{len(rows[ragged[0] - 1])} fields"
        raise _problem(path, f"row {ragged[0]}", fields, f"{len(header)} as in the header")
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def _messplus(path: Path, tables: Mapping[Path, Columns], joules: Mapping[str, float]) -> Outcomes:
    """`doc_id`, `benchmark_name` (else the file's name), `input_text`, and per model label and joules."""
    long = _Long(path, joules)
    for file, table in tables.items():
        models = [name.removeprefix(_LABEL) for name in table if name.startswith(_LABEL)]
        needed = ["input_text", *(_ENERGY + model for model in models if model not in joules)]
        lacking = [name for name in needed if name not in table]
        if not models or lacking:
            wanted = ", ".join(lacking) or f"{_LABEL}<model>"
            stated = " (joules can also be stated: --energy MODEL=J)" if _ENERGY in wanted else ""
            raise _problem(file, "columns", ", ".join(table) or "none", f"missing: {wanted}{stated}")
        _check_numbers(file, table, models, joules)
        count = len(table["input_text"])
        names = table.get("benchmark_name", [file.stem] * count)
        numbers = table.get("doc_id", range(count))
        for model in models:
            long.add(
                [f"{name}-{number}" for name, number in zip(names, numbers, strict=True)],
                names,
                table["input_text"],
                model,
                _satisfaction(table[_LABEL + model]),
                table.get(_ENERGY + model, ()),
            )
    return long.outcomes(())


def _satisfaction(values: Sequence[str]) -> list[Any]:
    return [_TRUTH.get(value.lower(), value) for value in values]


def _check_numbers(file: Path, table: Columns, models: Sequence[str], joules: Mapping[str, float]) -> None:
    """Names column and row as the file has them; once in one long table, they are others."""
    found = [
        number_problem(str(file), _LABEL + model, _satisfaction(table[_LABEL + model]), "correct")
        for model in models
    ]
    found += [
        number_problem(str(file), _ENERGY + model, table[_ENERGY + model], "energy_joules")
        for model in models
        if model not in joules
    ]
    if problems := [problem for problem in found if problem is not None]:
        raise ConfigError(problems)


def _routellm(path: Path, tables: Mapping[Path, Columns], joules: Mapping[str, float]) -> Outcomes:
    long = _Long(path, joules)
    for file, table in tables.items():
        models = [n for n in table if n != "prompt" and not n.endswith(_RESPONSE) and _is_verdicts(table[n])]
        if "prompt" not in table or not models:
            allowed = (
                "MESS+: input_text, label_<model>, ...; RouteLLM: prompt, one True/False column per model"
            )
            raise _problem(file, "columns", ", ".join(table) or "none", allowed)
        if unsure := [model for model in joules if model in table and model not in models]:
            raise _no_verdict(file, unsure[0], table[unsure[0]])
        count = len(table["prompt"])
        for model in models:
            long.add(
                [f"{file.stem}-{number}" for number in range(count)],
                [file.stem] * count,
                table["prompt"],
                model,
                [_TRUTH[value.lower()] for value in table[model]],
                (),
            )
    return long.outcomes(["RouteLLM records no energy: joules per request are as stated with --energy."])


def _no_verdict(file: Path, model: str, values: Sequence[str]) -> ConfigError:
    row = next((i for i, value in enumerate(values) if value.lower() not in _TRUTH), 0)
    return _problem(file, model, f"{values[row]!r} in row {row + 1:,}", "True or False")


def _is_verdicts(values: Sequence[str]) -> bool:
    return all(value.lower() in _TRUTH for value in values)


class _Long:
    """One row per request and model, from columns of one row per request."""

    def __init__(self, path: Path, joules: Mapping[str, float]) -> None:
        self._path, self._joules, self._models = path, joules, dict[str, None]()
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("request_id", "benchmark", "prompt", "model", "correct", "energy_joules")
        }

    def add(
        self,
        request_ids: Sequence[str],
        benchmarks: Sequence[str],
        prompts: Sequence[str],
        model: str,
        satisfaction: Sequence[Any],
        energy: Sequence[Any],
    ) -> None:
        """All requests' outcomes by one model; stated joules win over recorded `energy`."""
        self._models[model] = None
        stated = self._joules.get(model)
        columns = self._columns
        columns["request_id"] += request_ids
        columns["benchmark"] += benchmarks
        columns["prompt"] += prompts
        columns["model"] += [model] * len(request_ids)
        columns["correct"] += satisfaction
        columns["energy_joules"] += energy if stated is None else [stated] * len(request_ids)

    def outcomes(self, notes: Sequence[str]) -> Outcomes:
        """Raises ConfigError."""
        if unknown := [model for model in self._joules if model not in self._models]:
            known = f"models here: {', '.join(self._models)}"
            raise _problem(self._path, "--energy", ", ".join(unknown), known)
        if len(self._columns["energy_joules"]) != len(self._columns["model"]):
            lacking = [model for model in self._models if model not in self._joules]
            raise _problem(
                self._path, "--energy", "(not given)", f"MODEL=JOULES is needed for {', '.join(lacking)}"
            )
        return outcomes_from_columns(str(self._path), self._path.stem, self._columns, notes)


def _problem(path: Path, key: str, value: str, allowed: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), key, value, allowed)])
