"""How a worker's call can end badly, before anybody decides what that means for the client."""

from enum import Enum


class Refusal(Enum):
    """Why a worker did not answer."""

    INVALID = "invalid"
    """It cannot run this prompt, for example because the context window is too short."""
    BUSY = "busy"
    """Its queue is full."""
    BROKEN = "broken"
    """It is away, loading or failed."""
    LATE = "late"
    """The deadline passed."""


class WorkerRefusal(Exception):
    """A worker ended a generation without its last message; `reason` holds no prompt text."""

    def __init__(self, kind: Refusal, reason: str) -> None:
        self.kind, self.reason = kind, reason
        super().__init__(f"{kind.value}: {reason}")
