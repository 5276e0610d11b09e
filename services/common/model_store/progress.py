"""What the store tells whoever waits for a model."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class PullPhase(StrEnum):
    """What the store is doing."""

    WAITING = "waiting"
    """Another process is fetching the same model."""
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    FAILED = "failed"
    """One source failed (`detail` says why); the next one is tried."""
    READY = "ready"


@dataclass(frozen=True, slots=True)
class PullEvent:
    """A moment of a pull."""

    model: str
    phase: PullPhase
    origin: str = ""
    """The source, for people, for example "hub Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"."""
    done_bytes: int = 0
    total_bytes: int | None = None
    detail: str = ""


Progress = Callable[[PullEvent], None]


def silent(event: PullEvent) -> None:
    """Progress for those who do not want to see any."""
