"""What the worker needs from outside: an engine, a receiver of step reports, a board for its load."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.core.errors import FieldViolation, InvalidRequestError
from services.worker.generation import EngineFinished, EngineInfo, GenerationTask, TextDelta
from services.worker.steps import StepReport, StepTier


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

    @property
    def available(self) -> bool:
        """Whether it can take a generation; False while no server behind it answers."""

    @property
    def step_tier(self) -> StepTier:
        """How finely its meters are told what it does; known once it is loaded."""

    @property
    def server_load(self) -> "ServerLoad | None":
        """What the server behind it says of its batch, others' requests included; None: it says nothing."""

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


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """Requests that a server runs and has waiting, whoever sent them."""

    running: int
    waiting: int

    @classmethod
    def sum_of(cls, loads: "Sequence[ServerLoad]") -> "ServerLoad":
        """Of all replicas."""
        return cls(sum(load.running for load in loads), sum(load.waiting for load in loads))


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself: its model, its longest context in tokens if it tells, its version."""

    model: str
    context_window_tokens: int | None = None
    version: str = ""


class ServerClient(Protocol):
    """Talks to servers of one kind. Every method takes the base URL of the server."""

    @property
    def step_tier(self) -> StepTier:
        """The coarsest way in which a probed server tells its tokens."""

    async def probe(self, url: str) -> ServerFacts:
        """Whether it is up, of this kind, and has the model.

        Raises EngineUnreachableError, WrongServerError, UnknownServerModelError, ServerDeniedError,
        ServerBusyError.
        """

    async def load(self, url: str) -> ServerLoad | None:
        """Its batch and queue; None where it does not tell."""

    def generate(
        self, url: str, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """As `Engine.generate`, on this server. Raises the errors of `probe`, BrokenStreamError as well."""

    async def close(self) -> None:
        """Ends the connections."""


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
