"""What the worker needs from outside: an engine, a receiver of step reports, a board for its load."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from services.core.errors import FieldViolation, InvalidRequestError
from services.worker.generation import EngineFinished, EngineInfo, GenerationTask, TextDelta
from services.worker.steps import StepReport


def does_not_fit(prompt_tokens: int, context_window_tokens: int) -> InvalidRequestError:
    """The refusal of a prompt that leaves no room in the context window."""
    allowed = f"has {prompt_tokens} tokens; must be less than the context window of {context_window_tokens}"
    return InvalidRequestError([FieldViolation("prompt", allowed)])


class WorkMeter(Protocol):
    """Is told what an engine computes for one generation, as it computes it. Callable from any thread."""

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        """Uncached prompt tokens and generated tokens that are done now, and the context they attended to."""


class Engine(Protocol):
    """Runs one model."""

    @property
    def info(self) -> EngineInfo:
        """What runs here; known before `load`."""

    @property
    def active(self) -> int:
        """Generations that it is working on at this moment."""

    async def load(self) -> None:
        """Makes the engine ready, weights warmed up. Raises EngineError."""

    def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """Yields deltas, then one EngineFinished. At most `info.slots` at once.

        Token counts of the deltas add up to the completion's, and what `meter` is told to the usage.
        Closing the generator stops the engine's work; `aclose` returns when it has stopped.

        Raises:
            InvalidRequestError: when the prompt does not fit the context window.
            EngineError: when the engine broke.

        """

    async def close(self) -> None:
        """Frees what the engine holds."""


class StepSink(Protocol):
    """Takes step reports. It may be away."""

    async def offer(self, report: StepReport) -> bool:
        """Whether the report was taken; False while the receiver is away."""

    async def close(self) -> None:
        """Ends the reporting."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a worker is: generations running and waiting, and how many can run at once."""

    running: int
    waiting: int
    batch: int


class LoadBoard(Protocol):
    """Where routers see a worker's load."""

    async def publish(self, load: Load) -> None:
        """Replaces the load shown; it vanishes by itself when not renewed. Raises StateUnavailableError."""

    async def withdraw(self) -> None:
        """Takes the load down. Raises StateUnavailableError."""
