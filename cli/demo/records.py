"""What the demo records of each request, routed and in the baselines, and the checks a summary relies on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """One request of the routed run."""

    request_id: str
    """Names the request in the baselines as well."""
    kind: str
    """Kind of the prompt."""
    model_id: str
    """The model whose answer was served."""
    satisfaction: float
    """Label of the served answer, in [0, 1]."""
    served_joules: float
    """Energy of the served generation, J, >= 0."""
    explored_joules: float
    """Energy of every other generation of the request (explored, shadow, failed), J, >= 0."""
    virtual_queue: float
    """The virtual queue Q (or the policy's debt) at the decision."""
    time_seconds: float
    """When the request ended, s since the run began."""


@dataclass(frozen=True, slots=True)
class BaselineAnswer:
    """What one model, asked alone, made of one of the run's prompts."""

    satisfaction: float
    """Label of the answer, in [0, 1]."""
    energy_joules: float
    """Energy of the generation, J, >= 0."""


Baselines = Mapping[str, Mapping[str, BaselineAnswer]]
"""Model id -> request id -> answer; every model has exactly the run's request ids."""


def validate(
    requests: Sequence[RoutedRequest],
    measured: Baselines,
    min_satisfaction: float,
    idle_watts: Mapping[str, float],
    duration_seconds: float,
) -> None:
    """Raise a ValueError that names everything a summary could not be computed from."""
    problems = [*_run_problems(requests, measured, idle_watts), *_number_problems(requests, measured)]
    if not 0 < min_satisfaction < 1:
        problems.append(f"min_satisfaction must be in (0, 1), got {min_satisfaction}")
    amounts = [duration_seconds, *idle_watts.values()]
    if not all(0 <= amount < float("inf") for amount in amounts):
        problems.append("duration_seconds and idle_watts must be finite and at least 0")
    if problems:
        raise ValueError("; ".join(problems))


def _run_problems(
    requests: Sequence[RoutedRequest], measured: Baselines, idle_watts: Mapping[str, float]
) -> list[str]:
    if not requests or not measured:
        return ["a summary needs at least one request and one model"]
    ids = {request.request_id for request in requests}
    problems = [] if len(ids) == len(requests) else ["request ids must be distinct"]
    problems += [
        f"baseline {model} lacks the run's prompts" for model, a in measured.items() if set(a) != ids
    ]
    problems += [f"idle_watts lacks {model}" for model in measured if model not in idle_watts]
    strangers = {request.model_id for request in requests} - set(measured)
    return problems + [f"no baseline for {model}" for model in sorted(strangers)]


def _number_problems(requests: Sequence[RoutedRequest], measured: Baselines) -> list[str]:
    answers = [answer for by_id in measured.values() for answer in by_id.values()]
    labels = [record.satisfaction for record in requests] + [answer.satisfaction for answer in answers]
    joules = [request.served_joules for request in requests] + [
        request.explored_joules for request in requests
    ]
    joules += [answer.energy_joules for answer in answers]
    problems = [] if all(0 <= label <= 1 for label in labels) else ["satisfaction must be in [0, 1]"]
    if not all(0 <= amount < float("inf") for amount in joules):
        problems.append("joules must be finite and at least 0")
    return problems
