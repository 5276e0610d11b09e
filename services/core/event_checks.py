"""Which decodable events make no sense: they go aside with a reason and never stop the fold."""

import math
from collections.abc import Sequence

import numpy as np

from services.core.events import Decision, EnergyAttributed, Event, Label, Redecision

MAX_ENERGY_JOULES = 1e9
"""More than any generation can take (278 kWh)."""


def problem_of(event: Event, feature_count: int) -> str | None:
    """What is wrong with an event, naming field and value; None if nothing is.

    Whether the zoo has its models is no question here: a zoo changes, and the log keeps what was.
    """
    if not event.request_id:
        return "request_id is empty"
    match event:
        case Decision():
            return _decision_problem(event, feature_count)
        case Redecision():
            return _redecision_problem(event)
        case EnergyAttributed():
            return _energy_problem(event.energy_joules)
        case Label():
            return _unit_problem("satisfaction", event.satisfaction)
        case _:
            return None


def _decision_problem(event: Decision, feature_count: int) -> str | None:
    if not 0.0 < event.min_satisfaction < 1.0:
        return f"min_satisfaction is {event.min_satisfaction!r}, allowed: above 0 and below 1"
    if event.features.shape != (feature_count,):
        return f"features have shape {event.features.shape}, expected ({feature_count},)"
    if not np.isfinite(event.features.astype("<f2")).all():
        return "features are not all finite as float16"
    generation_ids = [event.generation_id, *(g.generation_id for g in event.explored_generations)]
    if "" in generation_ids or len(set(generation_ids)) < len(generation_ids):
        return f"generation ids {generation_ids} are empty or repeat"
    for model_id in (event.model_id, *(g.model_id for g in event.explored_generations)):
        if model_id not in event.model_ids:
            return f"model_id {model_id!r} is none of its model_ids {event.model_ids}"
    if not _are_load_factors(event.load_factors, len(event.model_ids)):
        return f"load_factors are {event.load_factors}, allowed: none, or above 0 up to 1 per model"
    return _unit_problem("charged_satisfaction", event.charged_satisfaction)


def _are_load_factors(values: Sequence[float], model_count: int) -> bool:
    return len(values) in (0, model_count) and all(0.0 < value <= 1.0 for value in values)


def _redecision_problem(event: Redecision) -> str | None:
    if not event.generation_id:
        return "generation_id is empty"
    return _unit_problem("charged_satisfaction", event.charged_satisfaction)


def _unit_problem(field: str, value: float) -> str | None:
    return None if 0.0 <= value <= 1.0 else f"{field} is {value!r}, allowed: 0 to 1"


def _energy_problem(value: float) -> str | None:
    if math.isfinite(value) and 0.0 <= value <= MAX_ENERGY_JOULES:
        return None
    return f"energy_joules is {value!r}, allowed: 0 to {MAX_ENERGY_JOULES:g}"
