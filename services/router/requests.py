"""What is asked of the router and what it answers, as plain values."""

from dataclasses import dataclass, field
from typing import NamedTuple

from services.common.zoo import SlaClassSettings
from services.core.events import EnergyAttributed, ModelGeneration


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A request to route, checked.

    Attributes:
        request_id: the client's or a minted one.
        supplied: whether the client gave the id; only then it can be a repeat.
        text: what features are computed from, the newest user turn.
        sla_class: its SLA class.
        min_satisfaction: alpha of this request, in (0, 1).
        prompt_bytes: size of all turns.
        max_tokens: of the answer.
        conversation_id: empty where there is none.
        max_time_to_first_token_seconds: latency objective; None: none.
        traceparent: W3C trace context of the call, which all its events carry; empty where nothing is traced.

    """

    request_id: str
    supplied: bool
    text: str
    sla_class: SlaClassSettings
    min_satisfaction: float
    prompt_bytes: int
    max_tokens: int
    conversation_id: str = ""
    max_time_to_first_token_seconds: float | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a worker is asked to run; `prompt`, `sampling` are the wire messages, passed on unread.

    Attributes:
        prompt: serialised `messplus.common.v1.Prompt`.
        sampling: serialised `messplus.common.v1.SamplingParameters`.
        labeling: serialised `messplus.router.v1.LabelingOptions`, empty where the client brings a reference
            later; None: nobody judges the answer.
        prompt_text: the prompt for who judges the answer; empty where nobody does.

    """

    prompt: bytes
    sampling: bytes
    labeling: bytes | None = None
    prompt_text: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """The decision as the client sees it; `step` only where consistency is strict."""

    request_id: str
    generation_id: str
    model_id: str
    sla_class: str
    expected_energy_joules: float
    expected_satisfaction: float
    explored: bool
    degraded: bool
    snapshot_version: int
    explored_models: tuple[ModelGeneration, ...] = ()
    step: int | None = None
    replayed: bool = False


class Text(NamedTuple):
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an answer. Times in seconds from dispatch."""

    request_id: str
    finish_reason: str
    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    time_to_first_token_seconds: float | None
    latency_seconds: float
    energy: EnergyAttributed


Piece = Started | Text | Ended


@dataclass(frozen=True, slots=True)
class Failure:
    """How a claimed request failed after it was decided."""

    model_id: str
    tokens_sent: int
    reason: str


@dataclass(slots=True)
class Record:
    """What is kept of a claimed request id: as much as has happened so far.

    Attributes:
        kind: "generate" or "decide".
        started: its decision; None: not decided yet.
        text: the answer so far.
        ended: its end.
        failure: how it failed.

    """

    kind: str
    started: Started | None = None
    text: list[str] = field(default_factory=list)
    ended: Ended | None = None
    failure: Failure | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing more will happen."""
        if self.kind == "decide":
            return self.started is not None
        return self.ended is not None or self.failure is not None
