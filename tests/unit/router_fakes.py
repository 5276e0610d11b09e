"""Small stand-ins for the router's ports."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from services.common.zoo import Zoo
from services.common.zoo_file import parse_zoo
from services.core.errors import StateUnavailableError
from services.core.events import Decision, EnergyAttributed, FloatArray, Outcome, Redecision
from services.router.fleet import WorkerState
from services.router.ports import ClassState, Committed, LogEntry, WorkerEnd, WorkerStatus
from services.router.refusals import WorkerRefusal
from services.router.requests import Generation, Record

EventT = TypeVar("EventT", Decision, Redecision, Outcome)


def zoo_of(models: Sequence[str] = ("small", "large"), step_joules: float = 0.0, **sections: Any) -> Zoo:
    costs = {"step_joules": step_joules, "decode_joules": 1.0}
    document = {
        "name": "unit",
        "models": [
            {
                "id": m,
                "engine": "echo",
                "prior": {"satisfaction": 0.5 + 0.1 * i, "energy_joules": 1.0 + i},
                "step_energy": costs,
            }
            for i, m in enumerate(models)
        ],
        "workers": [{"model": m, "address": f"127.0.0.1:{7000 + i}"} for i, m in enumerate(models)],
        "sla_classes": [{"name": "standard", "min_satisfaction": 0.6}],
        "policy": {"name": f"single:{models[0]}"},
        **sections,
    }
    return parse_zoo(document, "unit")


@dataclass
class FakeLog:
    """A log that can be away, and can lose its replies after doing the work."""

    entries: list[LogEntry] = field(default_factory=list)
    done: dict[int, list[Committed]] = field(default_factory=dict)
    away: bool = False
    refusal: Exception | None = None
    refused: int = 0
    lose_replies: int = 0
    batches: list[int] = field(default_factory=list)

    async def commit(
        self, batch: int, entries: Sequence[LogEntry], expected_step: int | None = None
    ) -> list[Committed] | None:
        await asyncio.sleep(0)
        if self.away:
            raise StateUnavailableError("away")
        if self.refusal is not None:
            self.refused += 1
            raise self.refusal
        if batch not in self.done:
            if expected_step not in (None, len(self.entries)):
                return None
            self.batches.append(len(entries))
            self.done[batch] = [self._append(entry) for entry in entries]
        if self.lose_replies:
            self.lose_replies -= 1
            raise StateUnavailableError("reply lost")
        return self.done[batch]

    def _append(self, entry: LogEntry) -> Committed:
        self.entries.append(entry)
        return Committed(
            f"{len(self.entries)}-0", len(self.entries), sum(e.debt_change for e in self.entries)
        )

    async def append(self, fields: Sequence[tuple[str, bytes]]) -> list[str]:
        return [f"{i}-0" for i, _ in enumerate(fields)]

    async def class_state(self, sla_class: str) -> ClassState:
        return ClassState(len(self.entries), sum(e.debt_change for e in self.entries))

    async def decision(self, request_id: str) -> Decision | None:
        return None

    async def failures(self, request_id: str) -> list[Redecision | Outcome]:
        return []

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [entry.event for entry in self.entries if isinstance(entry.event, kind)]


@dataclass
class FakeClaims:
    records: dict[str, Record] = field(default_factory=dict)
    away: bool = False
    renewals: list[list[str]] = field(default_factory=list)

    async def claim(self, request_id: str, kind: str) -> Record | None:
        self._check()
        first = self.records.get(request_id)
        self.records.setdefault(request_id, Record(kind))
        return first

    async def read(self, request_id: str) -> Record | None:
        self._check()
        return self.records.get(request_id)

    async def record(self, request_id: str, record: Record) -> None:
        self._check()
        self.records[request_id] = record

    async def release(self, request_id: str) -> None:
        self._check()
        self.records.pop(request_id, None)

    async def renew(self, request_ids: Sequence[str]) -> None:
        self.renewals.append(list(request_ids))
        self._check()

    def _check(self) -> None:
        if self.away:
            raise StateUnavailableError("away")


@dataclass
class FakeWorker:
    """Streams `tokens`; raises `refusal` before token number `fails_at`."""

    tokens: tuple[str, ...] = ("a", "b")
    fails_at: int | None = None
    refusal: WorkerRefusal | None = None
    go_on: asyncio.Event | None = None
    generated: list[str] = field(default_factory=list)
    closed: int = 0

    async def generate(
        self, request_id: str, generation_id: str, work: Generation, timeout_seconds: float
    ) -> AsyncGenerator[tuple[str, int] | WorkerEnd, None]:
        self.generated.append(generation_id)
        try:
            for i, token in enumerate(self.tokens):
                if i == self.fails_at and self.refusal is not None:
                    raise self.refusal
                if i and self.go_on is not None:
                    await self.go_on.wait()
                yield token, 1
            yield WorkerEnd("stop", 3, 0, len(self.tokens))
        finally:
            self.closed += 1

    async def statuses(self) -> AsyncIterator[WorkerStatus]:
        yield WorkerStatus(True, "", "w", 2048, 4)

    async def close(self) -> None:
        self.closed += 1


class FakeTexts:
    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.away = False
        self.defect: Exception | None = None

    async def store(
        self, request_id: str, generation_id: str, work: Generation, answer: str, generations: int
    ) -> None:
        if self.away:
            raise StateUnavailableError("the disk is full")
        if self.defect is not None:
            raise self.defect
        self.stored[generation_id] = answer


class FakeConversations:
    def __init__(self) -> None:
        self.models: dict[str, str] = {}

    async def model(self, conversation_id: str) -> str | None:
        return self.models.get(conversation_id)

    async def keep(self, conversation_id: str, model_id: str) -> None:
        self.models.setdefault(conversation_id, model_id)


class NoEnergy:
    async def of_generation(
        self, request_id: str, generation_id: str, timeout_seconds: float
    ) -> EnergyAttributed | None:
        return None


class FixedFeatures:
    def features(self, text: str) -> FloatArray:
        return np.linspace(0.0, 1.0, 27)


def states_of(zoo: Zoo, workers: Sequence[FakeWorker]) -> list[WorkerState]:
    return [WorkerState(w.model, w.address, worker) for w, worker in zip(zoo.workers, workers, strict=True)]
