"""What a worker computes: tasks, the events that a task yields, and what an engine is."""

from dataclasses import dataclass
from enum import Enum

DEFAULT_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn; ranges as in `messplus.common.v1.SamplingParameters`."""

    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """One generation to run."""

    request_id: str
    generation_id: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()


class FinishReason(Enum):
    """Why a generation ended by itself."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that was added (whole characters) and the tokens it stands for."""

    text: str
    token_count: int


@dataclass(frozen=True, slots=True)
class EngineFinished:
    """The engine's account of a whole generation. Tokens are the model's own; times are seconds."""

    reason: FinishReason
    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    prefill_seconds: float
    decode_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a generation as the worker saw it."""

    engine: EngineFinished
    queue_seconds: float
    """Time spent waiting for a slot."""
    time_to_first_token_seconds: float
    """From the request's arrival, waiting included."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine runs."""

    engine: str
    version: str
    model_name: str
    weights_sha256: str
    context_window_tokens: int
    slots: int
    """Generations that run at once."""
