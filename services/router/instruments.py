"""Metrics of the router. No request ids: they would make every point a series of its own."""

from collections import Counter
from collections.abc import Iterator, Sequence

from opentelemetry.metrics import CallbackOptions, Observation

from services.common.buffered_histogram import BufferedHistogram
from services.common.telemetry import meter
from services.core.events import Decision, Outcome, Redecision

# The library's own boundaries are meant for milliseconds.
_BUCKETS_SECONDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]


class Instruments:
    """Counters and gauges; they cost next to nothing while nobody collects them."""

    def __init__(self) -> None:
        create = meter()
        self._decisions: Counter[tuple[str, str, bool]] = Counter()
        create.create_observable_counter(
            "messplus.router.requests",
            [self._requests],
            "{request}",
            "Decisions by model, SLA class and kind",
        )
        self._generations = create.create_counter(
            "messplus.router.generations", "{generation}", "Generations by model, role and finish reason"
        )
        self._latency = create.create_histogram(
            "messplus.router.generation.duration",
            "s",
            "Dispatch to end of served generations",
            explicit_bucket_boundaries_advisory=_BUCKETS_SECONDS,
        )
        self._first_token = create.create_histogram(
            "messplus.router.time_to_first_token",
            "s",
            "Dispatch to first token of served generations",
            explicit_bucket_boundaries_advisory=_BUCKETS_SECONDS,
        )
        self._batch = BufferedHistogram(
            create.create_histogram(
                "messplus.router.commit.batch_size", "{event}", "Events per batch appended to the log"
            )
        )
        self._degraded = create.create_gauge(
            "messplus.router.degraded", "1", "1 while the log is out of reach"
        )
        self._bad_snapshots = create.create_counter(
            "messplus.router.snapshots.refused", "{snapshot}", "Snapshots that failed their checks"
        )
        self._snapshot_ok = create.create_gauge(
            "messplus.router.snapshot.valid", "1", "0 while the newest snapshot is refused"
        )

    def generated(
        self,
        model_id: str,
        role: str,
        finish_reason: str,
        latency_seconds: float,
        first_seconds: float | None,
    ) -> None:
        """A generation ended."""
        attributes = {"messplus.model": model_id, "role": role, "finish_reason": finish_reason}
        self._generations.add(1, attributes)
        if role == "served":
            self._latency.record(latency_seconds, {"messplus.model": model_id})
            if first_seconds is not None:
                self._first_token.record(first_seconds, {"messplus.model": model_id})

    def committed(self, events: Sequence[Decision | Redecision | Outcome]) -> None:
        """A batch is in the log."""
        self._batch.record(len(events))
        for event in events:
            if isinstance(event, Decision):
                self._decisions[event.model_id, event.sla_class, event.explored] += 1

    def _requests(self, _: CallbackOptions) -> Iterator[Observation]:
        for (model_id, sla_class, explored), count in list(self._decisions.items()):
            yield Observation(
                count,
                {"messplus.model": model_id, "messplus.sla_class": sla_class, "explored": explored},
            )

    def degraded(self, is_degraded: bool) -> None:
        """The log went out of reach or came back."""
        self._degraded.set(int(is_degraded))

    def snapshot_checked(self, valid: bool) -> None:
        """A snapshot was taken or refused."""
        self._snapshot_ok.set(int(valid))
        if not valid:
            self._bad_snapshots.add(1)
