"""What the use cases need from outside; the adapters stand in `adapters/`, fakes in the tests."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from services.core.energy_model import StepLaw
from services.core.events import Decision, EnergyAttributed, FloatArray, Outcome, Redecision
from services.router.requests import Generation, Record


class FeatureSource(Protocol):
    """Turns text into the numbers that policies see."""

    def features(self, text: str) -> FloatArray:
        """Features of shape (d,), rounded as the log will hold them."""


class LogEntry(NamedTuple):
    """An event to append. It is serialised with its batch, after the caller has his reply.

    Attributes:
        event: the event.
        sla_class: whose step and debt it moves.
        debt_change: added to the class's decision debt.
        once: whether a decision is left out where its request id was decided before.

    """

    event: Decision | Redecision | Outcome
    sla_class: str
    debt_change: float = 0.0
    once: bool = False


class Committed(NamedTuple):
    """Where an entry stands in the log, and its class's step and decision debt after it."""

    position: str
    step: int
    debt: float


class ClassState(NamedTuple):
    """Step and decision debt of an SLA class as the log has them."""

    step: int
    debt: float


class EventLog(Protocol):
    """The log. Every method raises StateUnavailableError while it cannot be reached."""

    async def commit(
        self, batch: int, entries: Sequence[LogEntry], expected_step: int | None = None
    ) -> list[Committed] | None:
        """Appends all entries, in order, at once; a batch number is executed only once.

        Returns None, and appends nothing, where the first entry's class is not at `expected_step`.
        """

    async def append(self, fields: Sequence[tuple[str, bytes]]) -> list[str]:
        """Appends events of (type, data) that concern no step or debt; returns their positions."""

    async def class_state(self, sla_class: str) -> ClassState:
        """Step and debt now."""

    async def decision(self, request_id: str) -> Decision | None:
        """A request's decision; None if unknown or older than is kept."""

    async def failures(self, request_id: str) -> list[Redecision | Outcome]:
        """What failed of a request, in log order: outcomes with an error, and who took over."""


class Claims(Protocol):
    """First come, first served for client-supplied request ids. Raises StateUnavailableError."""

    async def claim(self, request_id: str, kind: str) -> Record | None:
        """None if the id was free and is now ours, else what is known of the first request."""

    async def read(self, request_id: str) -> Record | None:
        """What is known of a claimed id; None if nothing or no longer."""

    async def record(self, request_id: str, record: Record) -> None:
        """Keeps how far a claimed request has come."""

    async def release(self, request_id: str) -> None:
        """Gives a claim back: nothing was decided."""

    async def renew(self, request_ids: Sequence[str]) -> None:
        """Keeps claims that still run from expiring, as they soon do once their router is gone."""


class Conversations(Protocol):
    """Which model a conversation began with. Raises StateUnavailableError."""

    async def model(self, conversation_id: str) -> str | None:
        """The conversation's model; None for a new one."""

    async def keep(self, conversation_id: str, model_id: str) -> None:
        """Remembers the model, unless another one was remembered before."""


class Texts(Protocol):
    """Texts that wait for their labeler. Raises StateUnavailableError."""

    async def store(
        self, request_id: str, generation_id: str, work: Generation, answer: str, generations: int
    ) -> None:
        """Keeps prompt, labeling and one generation's answer until judged or expired.

        `generations` is how many of the request will have answered in the end.
        """


class WorkerEnd(NamedTuple):
    """A worker's last message. Token counts are its tokenizer's."""

    finish_reason: str
    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int


class WorkerStatus(NamedTuple):
    """What a worker says of itself; `ready` False with the reason in `detail`."""

    ready: bool
    detail: str
    worker_id: str = ""
    context_window_tokens: int = 0
    max_batch_size: int = 1


class Worker(Protocol):
    """A worker as the router reaches it."""

    def generate(
        self, request_id: str, generation_id: str, work: Generation, timeout_seconds: float
    ) -> AsyncGenerator[tuple[str, int] | WorkerEnd, None]:
        """Streams (text, tokens) and at last a WorkerEnd. Closing the generator stops the engine's work.

        Raises WorkerRefusal.
        """

    def statuses(self) -> AsyncIterator[WorkerStatus]:
        """Its status whenever it changes; ends when the connection does."""

    async def close(self) -> None:
        """Ends the connection."""


class WorkerLoad(NamedTuple):
    """Requests that a worker runs and has waiting."""

    running: int
    waiting: int


class Loads(Protocol):
    """What workers say of their load. Raises StateUnavailableError."""

    async def read(self, worker_ids: Sequence[str]) -> list[WorkerLoad | None]:
        """Load per worker; None where it said nothing lately."""


class StepLaws(Protocol):
    """What steps cost, as the meters show. Raises StateUnavailableError."""

    async def read(self) -> dict[str, StepLaw]:
        """Per model that was calibrated; over several meters their sum."""


class EnergyFigures(Protocol):
    """Attributed joules."""

    async def of_generation(
        self, request_id: str, generation_id: str, timeout_seconds: float
    ) -> EnergyAttributed | None:
        """A generation's joules; None where they are not known within the time."""


class SnapshotSource(Protocol):
    """The learner's published state. Raises StateUnavailableError."""

    async def version(self) -> int | None:
        """Newest version; None where no learner has written yet."""

    async def control(self) -> tuple[int, bytes]:
        """Version and the small part, of one instant."""

    async def parts(self) -> tuple[int, dict[str, bytes]]:
        """Version and all parts, of one instant."""

    async def wait_for_notice(self, timeout_seconds: float) -> None:
        """Returns when a new version is announced, or after the time."""
