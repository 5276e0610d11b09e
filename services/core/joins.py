"""Open joins: requests whose decision, labels and joules have not all come yet.

Events of one request come in any order. A join gathers them by ids, from the first event to the moment
when nothing more can come, its time limit, or the cap. Every join is one small value under its request
id, so that a checkpoint writes only those that changed.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from services.core.errors import InvalidSnapshotError
from services.core.events import EnergyAttributed, Entry, Event, Label, Outcome, Position, Redecision, Role


@dataclass(frozen=True, slots=True)
class JoinLimits:
    """How long and how many requests wait for events.

    Attributes:
        max_age_milliseconds: a decided request waits this long for labels and joules, > 0.
        max_open: decided requests that wait at once, > 0; the oldest gives way.
        max_early_age_milliseconds: events wait this long for their decision, > 0. Shorter, because the
            log itself orders them: only a router that buffered its decision can be late.
        max_early: requests with such events at once, > 0; the oldest gives way.
        max_waiting_events: events per request that wait for a decision or redecision, > 0.

    """

    max_age_milliseconds: int = 24 * 3600 * 1000
    max_open: int = 100_000
    max_early_age_milliseconds: int = 600 * 1000
    max_early: int = 10_000
    max_waiting_events: int = 32


@dataclass(slots=True)
class Generation:
    """One run of one model for a request.

    Attributes:
        generation_id: its id.
        model_id: its model; the zoo need not have it any more.
        failed: whether it broke, so that no label is awaited.
        label: its first label, in [0, 1].
        audited: whether that label is of an audited sample.
        has_energy: whether its joules came.

    """

    generation_id: str
    model_id: str
    failed: bool = False
    label: float | None = None
    has_energy: bool = False
    audited: bool = False


@dataclass(slots=True)
class Join:
    """What came so far for one request; before its decision only `opened` and `waiting` are set.

    Attributes:
        opened: position of the decision, before it that of the first event.
        sla_class: the SLA class.
        min_satisfaction: alpha of the decision.
        charged_satisfaction: predicted satisfaction of the served model.
        number: of the decision in its class's ledger.
        features: little-endian float16, kept only where the policy may still learn from them.
        load_factors: model id -> joules at its worker's load over those on an idle one, at the decision;
            empty where all are 1.
        explored: whether it is an exploration step.
        learned: whether the policy learned from that step.
        counted: whether the served answer's label was counted.
        served: index of the served generation.
        generations: all of them, in order of appearance.
        waiting: events whose generation (or decision) is not known yet.
        stored: whether a checkpoint holds an older form of it; not part of the encoding.

    """

    opened: Position
    sla_class: str = ""
    min_satisfaction: float = 0.0
    charged_satisfaction: float = 0.0
    number: int = 0
    features: bytes = b""
    load_factors: Mapping[str, float] = field(default_factory=dict)
    explored: bool = False
    learned: bool = False
    counted: bool = False
    served: int = 0
    generations: list[Generation] = field(default_factory=list)
    waiting: list[Entry] = field(default_factory=list)
    stored: bool = field(default=False, compare=False)

    @property
    def decided(self) -> bool:
        """Whether the decision came."""
        return bool(self.generations)

    def find(self, generation_id: str) -> Generation | None:
        """The generation of this id; an empty id means the served one."""
        if not generation_id:
            return self.generations[self.served]
        return next((g for g in self.generations if g.generation_id == generation_id), None)

    @property
    def fully_labelled(self) -> bool:
        """Whether every generation that did not fail has its label."""
        return all(g.failed or g.label is not None for g in self.generations)

    @property
    def complete(self) -> bool:
        """Whether nothing more can come: every awaited label, and the joules of every generation."""
        return self.fully_labelled and all(g.has_energy for g in self.generations)


class JoinTable:
    """All open joins in order of their opening, and what changed since the last checkpoint."""

    def __init__(self, limits: JoinLimits) -> None:
        self._limits = limits
        # Ordered dicts, because taking the oldest from a plain dict costs a scan over its deleted ones.
        self._decided: OrderedDict[str, Join] = OrderedDict()
        self._early: OrderedDict[str, Join] = OrderedDict()
        self._changed: set[str] = set()
        self._deleted: set[str] = set()

    def __len__(self) -> int:
        return len(self._decided) + len(self._early)

    def get(self, request_id: str) -> Join | None:
        """The open join of a request."""
        return self._decided.get(request_id) or self._early.get(request_id)

    def put(self, request_id: str, join: Join) -> None:
        """Opens a join, or notes that it changed; one that was early and is decided changes queues."""
        if join.decided:
            self._early.pop(request_id, None)
            self._decided[request_id] = join
        else:
            self._early[request_id] = join
        if request_id in self._deleted:
            self._deleted.remove(request_id)
            join.stored = True
        self._changed.add(request_id)

    def close(self, request_id: str) -> None:
        """Removes a join."""
        join = self._decided.pop(request_id, None) or self._early.pop(request_id)
        self._changed.discard(request_id)
        if join.stored:
            self._deleted.add(request_id)

    def overdue(self, now_milliseconds: int) -> Iterator[tuple[str, Join, str]]:
        """Closes every join past its time limit; yields request id, join and the reason."""
        queues = (
            (self._decided, self._limits.max_age_milliseconds, "no decided request waited for it any more"),
            (self._early, self._limits.max_early_age_milliseconds, "no open request of this id"),
        )
        for queue, max_age, reason in queues:
            while queue:
                request_id, join = next(iter(queue.items()))
                if now_milliseconds - join.opened.milliseconds < max_age:
                    break
                self.close(request_id)
                yield request_id, join, f"{reason} within {max_age / 1000:g} s"

    def surplus(self) -> Iterator[tuple[str, Join, str]]:
        """Closes the oldest joins above the caps; yields request id, join and the reason."""
        for queue, cap in ((self._decided, self._limits.max_open), (self._early, self._limits.max_early)):
            while len(queue) > cap:
                request_id, join = next(iter(queue.items()))
                self.close(request_id)
                yield request_id, join, f"gave way: more than {cap} requests were waiting"

    def take_changes(self) -> tuple[dict[str, bytes], list[str]]:
        """Joins set and ids deleted since the last call."""
        changed = {request_id: self._encoded(request_id) for request_id in sorted(self._changed)}
        deleted = sorted(self._deleted)
        self._changed, self._deleted = set(), set()
        return changed, deleted

    def _encoded(self, request_id: str) -> bytes:
        join = self._decided.get(request_id) or self._early[request_id]
        join.stored = True
        return encode_join(join)

    @classmethod
    def restored(cls, limits: JoinLimits, joins: Mapping[str, bytes]) -> "JoinTable":
        """The table whose checkpointed joins are these. Raises InvalidSnapshotError on damaged ones."""
        table = cls(limits)
        decoded = [(request_id, decode_join(request_id, joins[request_id])) for request_id in joins]
        for request_id, join in sorted(decoded, key=lambda pair: pair[1].opened):
            join.stored = True
            table.put(request_id, join)
        table._changed.clear()
        return table


_EVENTS: dict[str, type[Event]] = {t.__name__: t for t in (Label, EnergyAttributed, Redecision, Outcome)}


def encode_join(join: Join) -> bytes:
    """A join as JSON; equal joins give equal bytes."""
    document: dict[str, Any] = {"opened": str(join.opened)}
    if join.decided:
        document |= {
            "class": join.sla_class,
            "alpha": join.min_satisfaction,
            "charged": join.charged_satisfaction,
            "number": join.number,
            "features": base64.b64encode(join.features).decode(),
            "flags": [join.explored, join.learned, join.counted],
            "served": join.served,
            "generations": [
                [g.generation_id, g.model_id, g.failed, g.label, g.has_energy, g.audited]
                for g in join.generations
            ],
        }
    if join.load_factors:
        document["load_factors"] = dict(join.load_factors)
    if join.waiting:
        document["waiting"] = [_encode_entry(entry) for entry in join.waiting]
    return json.dumps(document, separators=(",", ":")).encode()


def decode_join(request_id: str, data: bytes) -> Join:
    """Inverse of `encode_join`. Raises InvalidSnapshotError naming the request."""
    try:
        document = json.loads(data)
        join = Join(Position.parse(document["opened"]))
        join.waiting = [_decode_entry(*entry) for entry in document.get("waiting", ())]
        if "generations" in document:
            _fill(join, document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidSnapshotError(f"join of request {request_id!r}: {error!r}") from error
    return join


def _fill(join: Join, document: Mapping[str, Any]) -> None:
    join.sla_class = document["class"]
    join.min_satisfaction, join.charged_satisfaction = document["alpha"], document["charged"]
    join.number = document["number"]
    join.features = base64.b64decode(document["features"], validate=True)
    join.explored, join.learned, join.counted = document["flags"]
    join.served = document["served"]
    join.load_factors = {str(m): float(f) for m, f in document.get("load_factors", {}).items()}
    join.generations = [Generation(*values) for values in document["generations"]]
    if not 0 <= join.served < len(join.generations):
        raise ValueError(f"served is {join.served} of {len(join.generations)} generations")
    if not all(0.0 < factor <= 1.0 for factor in join.load_factors.values()):
        raise ValueError(f"load_factors are {join.load_factors}")
    if not all(isinstance(g.model_id, str) for g in join.generations):
        raise ValueError("a generation has no model id")


def _encode_entry(entry: Entry) -> list[Any]:
    fields = asdict(entry.event)
    if isinstance(entry.event, Outcome):
        fields["role"] = entry.event.role.value
    return [str(entry.position), type(entry.event).__name__, fields]


def _decode_entry(position: str, kind: str, fields: dict[str, Any]) -> Entry:
    if "role" in fields:
        fields["role"] = Role(fields["role"])
    return Entry(Position.parse(position), _EVENTS[kind](**fields))
