"""What a time without a counter probably took: the step costs alone, never to be taken for measured."""

from collections.abc import Iterable
from dataclasses import replace

from services.core.attribution import Attribution, Window, attribute
from services.core.steps import Step, step_costs

__all__ = ["estimate_gap"]

_SECONDS_PER_NANOSECOND = 1e-9
_MICROJOULES_PER_JOULE = 1_000_000


def estimate_gap(
    start_nanoseconds: int, end_nanoseconds: int, steps: Iterable[Step], idle_watts: float
) -> Attribution:
    """Charges the steps inside [start, end) with what their coefficients say they cost, in joules.

    It is split as a measured window would be (see `attribute`), and marked as estimated. Raises
    ValueError for an empty gap.
    """
    known = list(steps)
    joules = idle_watts * (end_nanoseconds - start_nanoseconds) * _SECONDS_PER_NANOSECOND
    for step in known:
        overlap = min(step.end_nanoseconds, end_nanoseconds) - max(step.start_nanoseconds, start_nanoseconds)
        if overlap > 0:
            above_idle = step.coefficients.step_joules + float(step_costs([step])[:2].sum())
            joules += above_idle * overlap / (step.end_nanoseconds - step.start_nanoseconds)
    window = Window(start_nanoseconds, end_nanoseconds, round(joules * _MICROJOULES_PER_JOULE))
    return replace(attribute([window], known, idle_watts), is_estimated=True)
