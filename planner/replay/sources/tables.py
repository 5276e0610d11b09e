"""Outcomes from tables with one row per request: MESS+'s CSV and RouteLLM's."""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from planner.replay.outcomes import Columns, Outcomes, outcomes_from_columns
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
        raise _problem(path, "format", "not readable as CSV", str(error)) from None
    if ragged := [i for i, row in enumerate(rows, start=2) if len(row) != len(header)]:
        raise _problem(
            path, f"row {ragged[0]}", "another number of fields", f"{len(header)} as in the header"
        )
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
            raise _problem(file, "columns", ", ".join(table) or "none", f"missing: {wanted}")
        count = len(table["input_text"])
        names = table.get("benchmark_name", [file.stem] * count)
        numbers = table.get("doc_id", range(count))
        for model in models:
            long.add(
                [f"{name}-{number}" for name, number in zip(names, numbers, strict=True)],
                names,
                table["input_text"],
                model,
                [_TRUTH.get(value.lower(), value) for value in table[_LABEL + model]],
                table.get(_ENERGY + model, ()),
            )
    return long.outcomes(())


def _routellm(path: Path, tables: Mapping[Path, Columns], joules: Mapping[str, float]) -> Outcomes:
    long = _Long(path, joules)
    for file, table in tables.items():
        models = [n for n in table if n != "prompt" and not n.endswith(_RESPONSE) and _is_verdicts(table[n])]
        if "prompt" not in table or not models:
            allowed = (
                "MESS+: input_text, label_<model>, ...; RouteLLM: prompt, one True/False column per model"
            )
            raise _problem(file, "columns", ", ".join(table) or "none", allowed)
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
