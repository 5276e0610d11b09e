"""Where the SLA classes stand, as metrics. Every replica shows the same, up to what it has not heard yet."""

from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Observation

from services.common.telemetry import meter
from services.router.views import ClassStatus

_SLA_CLASS = "messplus.sla_class"


def show_classes(look: Callable[[], Sequence[ClassStatus]]) -> None:
    """Makes gauges that ask `look` whenever somebody collects."""

    def gauge(name: str, unit: str, description: str, of: Callable[[ClassStatus], float | None]) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for status in look():
                value = of(status)
                if value is not None:
                    yield Observation(value, {_SLA_CLASS: status.name})

        meter().create_observable_gauge(name, [observe], unit, description)

    gauge("messplus.sla.target", "1", "alpha, the promised mean satisfaction", lambda s: s.min_satisfaction)
    gauge("messplus.sla.satisfaction", "1", "Mean satisfaction of all labelled answers", _mean)
    gauge("messplus.sla.debt", "{request}", "D, satisfied requests owed; below 0: given beyond alpha", _debt)


def _mean(status: ClassStatus) -> float | None:
    return status.statistics.mean_satisfaction if status.statistics else None


def _debt(status: ClassStatus) -> float | None:
    """Decision debt less label credit; None before the learner saw the class."""
    return status.state.debt - status.statistics.ledger.label_credit if status.statistics else None
