"""What is recorded when a generation ends: its outcome, and its text where somebody will judge it."""

import asyncio
import logging
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from services.common.outages import OutageLog
from services.core.errors import StateUnavailableError
from services.core.events import Outcome, Role
from services.router.commits import Commits
from services.router.instruments import Instruments
from services.router.ports import LogEntry, Texts, WorkerEnd
from services.router.requests import Generation

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """A generation as far as it has come. Times are monotonic seconds.

    Attributes:
        request_id: its request.
        generation_id: its id.
        model_id: its model.
        sla_class: its request's SLA class.
        expected_energy_joules: what the energy model expected.
        traceparent: trace context of the request.
        began_at: when it was dispatched.
        first_token_at: when its first text came.
        tokens: tokens so far.
        answer: text so far; only kept where somebody needs it.
        end: the worker's last message.
        error: what went wrong, if something did.

    """

    request_id: str
    generation_id: str
    model_id: str
    sla_class: str
    expected_energy_joules: float
    traceparent: str
    began_at: float
    first_token_at: float | None = None
    tokens: int = 0
    answer: list[str] = dataclass_field(default_factory=list)
    end: WorkerEnd | None = None
    error: str = ""

    @property
    def first_token_seconds(self) -> float | None:
        """Time from dispatch to the first text; None if there was none."""
        return None if self.first_token_at is None else self.first_token_at - self.began_at


class Outcomes:
    """Records ends of generations, off the caller's path; `drain` waits for what is under way."""

    def __init__(self, commits: Commits, texts: Texts, instruments: Instruments) -> None:
        self._commits, self._texts, self._instruments = commits, texts, instruments
        self._tasks: set[asyncio.Task[None]] = set()
        self._outage = OutageLog(_log, "the store of texts", "answers that end meanwhile stay unlabelled")

    def ended(
        self, progress: Progress, work: Generation, role: Role, reason: str, ended_at: float, generations: int
    ) -> None:
        """A generation ended for this reason ("stop", "length", "cancelled", "error")."""
        wants_label = work.labeling is not None and role is not Role.FAILED
        latency = ended_at - progress.began_at
        outcome = _outcome(progress, role, reason, latency, wants_label)
        self._instruments.generated(
            progress.model_id, role.value, reason, latency, progress.first_token_seconds
        )
        if not wants_label:
            self._append(progress, outcome)
            return
        task = asyncio.get_running_loop().create_task(self._store_first(progress, work, outcome, generations))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Returns once every text is stored and every outcome submitted."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _append(self, progress: Progress, outcome: Outcome) -> None:
        self._commits.submit(LogEntry(outcome, progress.sla_class))

    async def _store_first(
        self, progress: Progress, work: Generation, outcome: Outcome, generations: int
    ) -> None:
        """The text before the event that makes a labeler look for it."""
        try:
            answer = "".join(progress.answer)
            await self._texts.store(progress.request_id, progress.generation_id, work, answer, generations)
        except StateUnavailableError as error:
            self._outage.failed(error)
        except Exception as error:
            # By its name alone: it may repeat the command, and with it the prompt.
            _log.error("the text of request %s is not kept: %s", progress.request_id, type(error).__name__)
        else:
            self._outage.worked()
        self._append(progress, outcome)


def _outcome(progress: Progress, role: Role, reason: str, latency: float, wants_label: bool) -> Outcome:
    end = progress.end or WorkerEnd(reason, 0, 0, progress.tokens)
    return Outcome(
        request_id=progress.request_id,
        generation_id=progress.generation_id,
        model_id=progress.model_id,
        role=role,
        prompt_tokens=end.prompt_tokens,
        cached_prompt_tokens=end.cached_prompt_tokens,
        completion_tokens=end.completion_tokens,
        time_to_first_token_seconds=progress.first_token_seconds,
        latency_seconds=latency,
        finish_reason=reason,
        expected_energy_joules=progress.expected_energy_joules,
        wants_label=wants_label,
        traceparent=progress.traceparent,
        error=progress.error,
    )
