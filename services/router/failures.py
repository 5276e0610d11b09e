"""What failed of a request, from what the log tells of it: outcomes with an error, and who took over."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.core.events import Outcome, Redecision


@dataclass(slots=True)
class FailedGeneration:
    """A generation that failed; the next model and generation are "" where none took over."""

    generation_id: str
    model_id: str
    reason: str
    completion_tokens: int = 0
    next_model_id: str = ""
    next_generation_id: str = ""


def failed_generations(events: Iterable[Redecision | Outcome]) -> list[FailedGeneration]:
    """In log order, each generation once: its outcome and its redecision tell of the same failure."""
    failed: dict[str, FailedGeneration] = {}
    for event in events:
        match event:
            case Redecision():
                generation_id = event.failed_generation_id
                new = FailedGeneration(generation_id, event.failed_model_id, event.reason)
                one = failed.setdefault(generation_id, new)
                one.next_model_id, one.next_generation_id = event.model_id, event.generation_id
            case Outcome():
                new = FailedGeneration(event.generation_id, event.model_id, event.error)
                failed.setdefault(event.generation_id, new).completion_tokens = event.completion_tokens
    return list(failed.values())
