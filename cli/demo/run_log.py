"""A demo run as its event log tells it: who served what, how well, for how many joules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cli.demo.records import RoutedRequest
from cli.demo.spent import SpentGeneration
from services.core.events import Decision, EnergyAttributed, Entry, Label, Outcome, Position, Redecision, Role


@dataclass(slots=True)
class _Request:
    decision: Decision
    served_id: str
    served_model: str
    awaited: set[str]
    ended: Position | None = None
    figures: dict[str, EnergyAttributed] = field(default_factory=dict)
    ends: dict[str, tuple[Position, Outcome]] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)

    @property
    def satisfaction(self) -> float | None:
        return self.labels.get(self.served_id)

    @property
    def joules(self) -> float:
        return sum(figure.energy_joules for figure in self.figures.values())

    @property
    def missing(self) -> list[str]:
        """What has not arrived yet, in words."""
        gaps = [] if self.ended else ["outcome"]
        gaps += [] if self.satisfaction is not None else ["label"]
        return gaps + (["energy"] if self.awaited - self.figures.keys() else [])


class RunLog:
    """Gathers the events of a run; joules of generations that nobody decided on are kept apart."""

    def __init__(self) -> None:
        self._requests: dict[str, _Request] = {}
        self._undecided: dict[str, list[Entry]] = {}
        self._began: Position | None = None

    def add(self, entry: Entry) -> None:
        """Takes the next entry of the log, where a quick answer can stand before its decision."""
        event = entry.event
        self._began = self._began or entry.position
        if isinstance(event, Decision):
            ids = {event.generation_id, *(g.generation_id for g in event.explored_generations)}
            request = _Request(event, event.generation_id, event.model_id, ids)
            self._requests[event.request_id] = request
            for early in self._undecided.pop(event.request_id, []):
                _apply(request, early)
        elif event.request_id in self._requests:
            _apply(self._requests[event.request_id], entry)
        else:
            self._undecided.setdefault(event.request_id, []).append(entry)

    def other_joules(self) -> Mapping[str, float]:
        """Generation id -> joules, of generations that no decision of the router asked for."""
        events = [entry.event for entries in self._undecided.values() for entry in entries]
        return {e.generation_id: e.energy_joules for e in events if isinstance(e, EnergyAttributed)}

    @property
    def decided(self) -> int:
        """Requests routed so far."""
        return len(self._requests)

    @property
    def labels(self) -> list[float]:
        """Satisfaction of the served answers judged so far, in the order of their decisions."""
        return [r.satisfaction for r in self._requests.values() if r.satisfaction is not None]

    @property
    def joules(self) -> float:
        """Joules attributed so far, J."""
        return sum(r.joules for r in self._requests.values())

    @property
    def virtual_queue(self) -> float:
        """Q as the last decision saw it."""
        last = next(reversed(self._requests.values()), None)
        return last.decision.virtual_queue if last else 0.0

    def shares(self) -> dict[str, float]:
        """Share of the requests that each model served."""
        served = [r.served_model for r in self._requests.values()]
        return {model: served.count(model) / len(served) for model in sorted(set(served))}

    def gaps(self) -> dict[str, int]:
        """What is still missing, in words -> for how many requests."""
        counts: dict[str, int] = {}
        for request in self._requests.values():
            for gap in request.missing:
                counts[gap] = counts.get(gap, 0) + 1
        return counts

    def routed(self, kinds: Mapping[str, str]) -> list[RoutedRequest]:
        """The run in the order of its decisions, for the summary; `kinds` maps request ids to kinds.

        Raises ValueError while something is missing.
        """
        if self.gaps():
            raise ValueError(f"events are missing: {self.gaps()}")
        return [self._routed(request, kinds) for request in self._requests.values()]

    def spent(self, kinds: Mapping[str, str]) -> list[SpentGeneration]:
        """Every generation whose joules and end are known, by when it began; `kinds` as in `routed`."""
        found = [
            _spent(*end, figure, kinds[request_id], self.began_seconds)
            for request_id, request in self._requests.items()
            for generation_id, figure in request.figures.items()
            if (end := request.ends.get(generation_id))
        ]
        return sorted(found, key=lambda generation: generation.began_seconds)

    @property
    def began_seconds(self) -> float:
        """When the run began, s of the log's wall clock; 0 before it did."""
        return self._began.milliseconds / 1000 if self._began else 0.0

    def _routed(self, request: _Request, kinds: Mapping[str, str]) -> RoutedRequest:
        began, ended, satisfaction = self._began, request.ended, request.satisfaction
        if began is None or ended is None or satisfaction is None:
            raise ValueError(f"{request.decision.request_id} is incomplete")
        served_joules = request.figures[request.served_id].energy_joules
        return RoutedRequest(
            request_id=request.decision.request_id,
            kind=kinds[request.decision.request_id],
            model_id=request.served_model,
            satisfaction=satisfaction,
            served_joules=served_joules,
            explored_joules=request.joules - served_joules,
            virtual_queue=request.decision.virtual_queue,
            time_seconds=(ended.milliseconds - began.milliseconds) / 1000,
        )

    def __iter__(self) -> Iterator[str]:
        """Request ids in the order of their decisions."""
        return iter(self._requests)


def _spent(
    position: Position, outcome: Outcome, figure: EnergyAttributed, kind: str, began_seconds: float
) -> SpentGeneration:
    ended = position.milliseconds / 1000 - began_seconds
    return SpentGeneration(kind, ended - outcome.latency_seconds, ended, figure)


def _apply(request: _Request, entry: Entry) -> None:
    if isinstance(entry.event, Outcome):
        request.ends[entry.event.generation_id] = (entry.position, entry.event)
    match entry.event:
        case Redecision() as event:
            request.awaited -= {event.failed_generation_id}
            request.awaited |= {event.generation_id}
            request.served_id, request.served_model = event.generation_id, event.model_id
        case Outcome(role=Role.FAILED) as event:
            request.awaited -= {event.generation_id}
        case Outcome() as event if event.generation_id == request.served_id:
            request.ended = entry.position
        case EnergyAttributed() as event:
            request.figures[event.generation_id] = event
        case Label() as event:
            request.labels.setdefault(event.generation_id or request.served_id, event.satisfaction)
        case _:
            pass
