"""What must hold of the log, the learned state and the traces of a stack, whatever was killed meanwhile."""

import json
from collections import Counter
from typing import Any

import pytest
import redis

from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.zoo import Zoo
from services.core.events import Decision, EnergyAttributed, Entry, Label, Outcome, Redecision, Role
from services.core.learner_codec import CONTROL
from services.feedback.configuration import empty_fold
from tests.compose.clients import Clients

TRACED = {"messplus-router", "messplus-worker", "messplus-energy", "messplus-feedback"}

METRICS = {
    "hw.energy",
    "messplus.energy.attributed",
    "messplus.learner.lag",
    "messplus.request.energy",
    "messplus.router.generation.duration",
    "messplus.sla.satisfaction",
    "messplus.sla.target",
    "messplus.worker.waiting",
}
"""What the dashboard's panels rest on, at least one of every service."""


class Log:
    """The event log of a zoo as it is now."""

    def __init__(self, port: int, zoo: Zoo) -> None:
        self._zoo, self._keys = zoo, Keys(zoo.name)
        self._client: redis.Redis = redis.Redis(port=port, socket_timeout=10)
        self.entries: list[Entry] = []

    def read(self) -> "Log":
        raw: Any = self._client.xrange(self._keys.events)
        self.entries = [decode_entry(entry_id, fields) for entry_id, fields in raw]
        return self

    def of(self, kind: type) -> list[Any]:
        return [entry.event for entry in self.entries if isinstance(entry.event, kind)]

    def is_complete(self, clients: Clients) -> bool:
        """Whether all that must follow on what clients saw is there, and the learner covers it."""
        energy = {event.request_id for event in self.read().of(EnergyAttributed)}
        labelled = {event.request_id for event in self.of(Label)}
        ends = self._learner(b"position").decode() == str(self.entries[-1].position)
        return ends and set(clients.answers) <= energy and clients.labels.keys() <= labelled

    def check(self, clients: Clients) -> str:
        """One decision and one served outcome per answer, its joules, and one label per verdict."""
        answered = Counter(clients.answers)
        decisions = Counter(event.request_id for event in self.of(Decision))
        served = Counter(event.request_id for event in self.of(Outcome) if event.role is Role.SERVED)
        assert set(answered.values()) == {1}
        assert {decisions[request_id] for request_id in answered} == {1}
        assert {served[request_id] for request_id in answered} == {1}
        assert all(event.energy_joules > 0 for event in self.of(EnergyAttributed))
        verdicts = Counter(event.request_id for event in self.of(Label))
        assert {verdicts[request_id] for request_id in clients.labels} == {1}
        return f"{len(answered)} answers, {len(self.entries)} events, {len(clients.labels)} verdicts"

    def check_state(self, clients: Clients) -> str:
        """The class's step equals the decisions; the learner's state is that of one fold over the log."""
        name = self._zoo.sla_classes[0].name
        step = int(self._client.hget(self._keys.sla_class(name), "step") or 0)  # type: ignore[arg-type]
        decisions = self.of(Decision)
        assert step == len(decisions)
        assert sorted(event.step for event in decisions) == list(range(1, step + 1))
        fold = empty_fold(self._zoo)
        for entry in self.entries:
            fold.apply(entry)
        assert fold.checkpoint_delta().parts_changed[CONTROL] == self._learner(CONTROL.encode())
        debt = float(self._client.hget(self._keys.sla_class(name), "debt") or 0)  # type: ignore[arg-type]
        charges = sum(event.min_satisfaction - event.charged_satisfaction for event in decisions)
        for event in self.of(Redecision):
            charges += event.previous_charged_satisfaction - event.charged_satisfaction
        assert debt == pytest.approx(charges)
        labels = {event.request_id: event.satisfaction for event in self.of(Label)}
        status = clients.status("ROUTER_1").classes[0]
        assert (status.steps, status.labelled) == (step, len(labels))
        assert status.mean_satisfaction == pytest.approx(sum(labels.values()) / len(labels))
        return (
            f"step {step}, debt {debt:.3f}, {len(labels)} labels learned, state bit for bit that of one fold"
        )

    def labels(self) -> int:
        """How many requests have a label."""
        return len({event.request_id for event in self.of(Label)})

    def decided(self) -> set[str]:
        """Requests that have a decision."""
        return {event.request_id for event in self.of(Decision)}

    def routers(self, request_ids: set[str]) -> set[str]:
        """Who decided these requests."""
        return {event.router_id for event in self.of(Decision) if event.request_id in request_ids}

    def _learner(self, field: str | bytes) -> bytes:
        return bytes(self._client.hget(self._keys.learner, field) or b"")  # type: ignore[arg-type]

    def close(self) -> None:
        self._client.close()


def trace_services(received: str, trace_id: str) -> set[str]:
    """Services that spans of a trace, or links of a fold to it, have come from so far."""
    own = {span["service"] for span in _spans(received) if span["trace_id"] == trace_id}
    return own if any(trace_id in span["links"] for span in _spans(received)) else set()


def check_trace(received: str, trace_id: str, root: str) -> str:
    """One trace spans the four services, no span lost its parent, and a fold's span links to it."""
    own = [span for span in _spans(received) if span["trace_id"] == trace_id]
    assert {span["parent_id"] for span in own} <= {span["span_id"] for span in own} | {root}
    names = ", ".join(sorted({f"{span['service'].removeprefix('messplus-')} {span['name']}" for span in own}))
    return f"{len(own)} spans of one request in {len(TRACED)} services, a fold links to it: {names}"


def metric_names(received: str) -> set[str]:
    """Names of all metrics that came."""
    return {record["metric"] for record in _records(received) if "metric" in record}


def _spans(received: str) -> list[dict[str, Any]]:
    return [record for record in _records(received) if "span_id" in record]


def _records(received: str) -> list[dict[str, Any]]:
    """What stands in whole lines; the last one may still be written."""
    whole, _, _ = received.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
