"""What the feedback service needs from the outside."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.core.errors import MessPlusError
from services.core.events import Label, Position


class NotJudgedError(MessPlusError):
    """A labeler could not judge an answer; no label is recorded. The message holds no prompt or answer."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """Prompt and answers of one request, kept until they are judged.

    Attributes:
        prompt: as the client sent it.
        labeling: serialised `router.v1.LabelingOptions`; empty: the text waits for a client's reference.
        answers: generation id -> answer.

    """

    prompt: str
    labeling: bytes
    answers: Mapping[str, str]


RawEntry = tuple[bytes, Mapping[bytes, bytes]]
"""Id and fields of a log entry, not yet decoded."""


PendingLabel: TypeAlias = "asyncio.Future[str]"
"""A label on its way to the log; its result is the position."""


class DecisionCheck(Protocol):
    """Knows who received a decision."""

    async def matches(self, request_id: str, decision_id: str) -> bool:
        """Whether the decision id is the request's. Raises StateUnavailableError."""


class LabelLog(Protocol):
    """Where labels go."""

    def append(self, label: Label) -> PendingLabel:
        """Appends a label; once the future has its position, the label is recorded.

        Labels are recorded in the order of the calls. The future raises StateUnavailableError while the
        log takes no writes; the label may then be recorded or not.

        Raises:
            OverloadedError: too many labels wait already.

        """


class TextStore(Protocol):
    """Where texts wait for their labeler."""

    async def load(self, request_id: str) -> StoredText | None:
        """The texts of a request, None when none are kept. Raises StateUnavailableError."""

    async def forget(self, request_id: str, generation_id: str) -> None:
        """Deletes one answer; with the last expected one, all of it. Raises StateUnavailableError."""


class ServedGenerations(Protocol):
    """Knows which of a request's generations the client saw."""

    async def served(self, request_id: str, generation_ids: Collection[str]) -> str | None:
        """The one of these that was served, None when that is not known. Raises StateUnavailableError."""


class Labeler(Protocol):
    """One way to judge an answer."""

    @property
    def source(self) -> str:
        """Who judges: "reference", "verifier" or "judge"."""

    async def satisfaction(self, prompt: str, answer: str) -> float:
        """How good the answer is, in [0, 1]. Raises NotJudgedError."""


class LogReader(Protocol):
    """Reads the log in order."""

    async def read(self, after: Position, limit: int, wait_seconds: float) -> list[RawEntry]:
        """Up to `limit` entries after a position; waits for the first one up to `wait_seconds` > 0.

        Raises StateUnavailableError.
        """


class LabelerProgress(Protocol):
    """Remembers how far the labeler is."""

    async def load(self) -> Position:
        """Position up to which wanted labels were given. Raises StateUnavailableError."""

    async def store(self, position: Position) -> None:
        """Moves that position. Raises StateUnavailableError."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """The learner's checkpoint.

    Attributes:
        position: newest log entry that it covers.
        version: of the snapshot; 0: none yet.
        entries: log entries covered, trimmed ones included.
        dead_events: events put aside so far.
        configuration: of the zoo that it was learned for.
        parts: name -> bytes, as `Fold.restore` takes them.
        joins: request id -> bytes, likewise.

    """

    position: Position
    version: int
    entries: int
    dead_events: int
    configuration: bytes
    parts: Mapping[str, bytes]
    joins: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """An entry put aside: where it stands, why, and its bytes."""

    position: str
    reason: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One atomic write of the learner; `parts` and the joins hold only what changed."""

    position: Position
    version: int
    entries: int
    dead_events: int
    labels_learned: int
    configuration: bytes
    parts: Mapping[str, bytes]
    joins_set: Mapping[str, bytes]
    joins_deleted: Collection[str]
    dead: Sequence[DeadRecord]


@dataclass(frozen=True, slots=True)
class LogExtent:
    """How much log there is: entries held now, entries ever added, and the newest position."""

    length: int
    added: int
    newest: Position


class LearnerStore(LogReader, Protocol):
    """Lease, checkpoint and log of one zoo's learner. Every method raises StateUnavailableError."""

    async def acquire(self, owner: str, lease_seconds: float) -> int | None:
        """Takes or renews the lease; returns the fencing token, None while another one holds it."""

    async def release(self, owner: str) -> None:
        """Gives the lease back."""

    async def load(self) -> StoredState | None:
        """The checkpoint, None before the first."""

    async def checkpoint(self, fence: int, checkpoint: Checkpoint) -> None:
        """Writes all of it or nothing. Raises FencedOutError if a newer token exists."""

    async def publish(self, version: int) -> None:
        """Tells routers of a new version."""

    async def extent(self) -> LogExtent:
        """How much log there is."""

    async def trim(self, count: int, covered: Position) -> int:
        """Deletes the oldest `count` entries, only ones before `covered` and the labeler's position.

        Returns how many.
        """


@dataclass(frozen=True, slots=True)
class LearnerStatus:
    """How far the learner is, as `GetLearnerStatusResponse` documents it."""

    fence: int
    position: str
    version: int
    lag_events: int
    lag_seconds: float
    labels_learned: int
    open_joins: int
    dead_events: int


class LearnerStatusSource(Protocol):
    """Tells how far the zoo's learner is, wherever it runs."""

    async def learner_status(self) -> LearnerStatus:
        """Read in one step. Raises StateUnavailableError."""
