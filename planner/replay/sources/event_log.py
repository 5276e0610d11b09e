"""Outcomes from a recorded event log of this system: one entry a line, as JSON.

    {"id": "1763-0", "type": "decision", "data": "<base64 of the protobuf message>", "step": 1}

A log tells what the models made that were asked. Requests that every model answered, with a label and
joules each (exploration steps, shadow calls), can be replayed; the others cannot, and are counted in a note.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from planner.replay.outcomes import Outcomes, outcomes_from_columns
from services.common.event_codec import decode_entry, encode_event
from services.core.errors import ConfigError, ConfigProblem
from services.core.events import (
    Decision,
    EnergyAttributed,
    Entry,
    FloatArray,
    Label,
    Outcome,
    Redecision,
    Role,
)


@dataclass(slots=True)
class _Request:
    """What the log tells of a request; generation id -> model, label, joules, tokens."""

    decision: Decision | None = None
    served_id: str = ""
    models: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    labels: dict[str, float] = field(default_factory=dict)
    joules: dict[str, float] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        match entry.event:
            case Decision() as event:
                self.decision, self.served_id = event, self.served_id or event.generation_id
                self.models[event.generation_id] = event.model_id
                self.models |= {g.generation_id: g.model_id for g in event.explored_generations}
            case Redecision() as event:
                self.served_id = event.generation_id
                self.models[event.generation_id] = event.model_id
                self.failed.add(event.failed_generation_id)
            case Outcome() as event:
                self.models[event.generation_id] = event.model_id
                if event.role is Role.FAILED:
                    self.failed.add(event.generation_id)
            case EnergyAttributed() as event:
                self.joules[event.generation_id] = event.energy_joules
            case Label() as event:
                self.labels.setdefault(event.generation_id, event.satisfaction)

    def rows(self) -> dict[str, tuple[float, float]]:
        """Model -> satisfaction and joules, of generations that have both."""
        if "" in self.labels:
            self.labels.setdefault(self.served_id, self.labels.pop(""))
        known = (self.labels.keys() & self.joules.keys() & self.models.keys()) - self.failed
        return {self.models[g]: (self.labels[g], self.joules[g]) for g in sorted(known)}


def read_event_log(path: Path) -> Outcomes:
    """Reads a recorded log.

    Raises ConfigError for a line that is no entry, naming it, and where no request has every model's
    outcome; OSError.
    """
    requests: dict[str, _Request] = {}
    for entry in read_entries(path):
        requests.setdefault(entry.event.request_id, _Request()).take(entry)
    decided = {name: r for name, r in requests.items() if r.decision is not None}
    models = dict.fromkeys(m for r in decided.values() if r.decision for m in r.decision.model_ids)
    complete = {name: r for name, r in decided.items() if r.rows().keys() >= models.keys()}
    if not complete:
        raise _problem(path, "requests", f"{len(decided)}, none of them answered by every model", _WANTED)
    note = (
        f"{len(complete):,} of {len(decided):,} requests of the log were answered, judged and measured with "
        "every model and are replayed."
    )
    columns: dict[str, list[object]] = {
        name: [] for name in ("request_id", "benchmark", "prompt", "model", "correct", "energy_joules")
    }
    features: list[FloatArray] = []
    for name, request in complete.items():
        if request.decision is None:
            continue
        features.append(request.decision.features)
        for model, (satisfaction, joules) in request.rows().items():
            values = (name, request.decision.sla_class, "", model, satisfaction, joules)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    if len(lengths := {len(row) for row in features}) > 1:
        value = ", ".join(map(str, sorted(lengths)))
        raise _problem(path, "features", f"{value} per request", "the same number in every decision")
    outcomes = outcomes_from_columns(str(path), path.stem, columns, [note])
    return _with_features(outcomes, np.array(features))


_WANTED = "at least one with a label and joules for each model (explored steps have them)"


def _with_features(outcomes: Outcomes, features: FloatArray) -> Outcomes:
    return replace(outcomes, features=features)


def read_entries(path: Path) -> Iterator[Entry]:
    """The entries of a recorded log, in order. Raises ConfigError naming the line that is none."""
    # Bytes, so that a line that is no text is named like any other.
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                fields = {b"type": record["type"].encode(), b"data": base64.b64decode(record["data"])}
                if "step" in record:
                    fields[b"step"] = str(record["step"]).encode()
                yield decode_entry(record["id"].encode(), fields)
            except KeyError as error:
                raise _problem(
                    path, f"line {number}", _beginning(line), f"no log entry: lacks {error}"
                ) from None
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise _problem(path, f"line {number}", _beginning(line), f"no log entry: {error}") from None


def _beginning(line: bytes) -> str:
    return line.decode(errors="replace").strip()[:60] or "empty"


def write_event_log(path: Path, entries: Iterable[Entry]) -> None:
    """Writes entries as a recorded log."""
    with path.open("w", encoding="utf-8") as file:
        for entry in entries:
            kind, data = encode_event(entry.event)
            record: dict[str, object] = {"id": str(entry.position), "type": kind}
            record["data"] = base64.b64encode(data).decode()
            if isinstance(entry.event, Decision):
                record["step"] = entry.event.step
            file.write(json.dumps(record) + "\n")


def _problem(path: Path, key: str, value: str, allowed: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), key, value, allowed)])
