"""Decides and records: the part that Decide and Generate share."""

import asyncio
from dataclasses import dataclass

from services.common.spans import current_span
from services.core.errors import StateUnavailableError
from services.router.choosing import Choice, Chooser
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.gathering import Gathering
from services.router.ports import Conversations, EventLog, LogEntry, SnapshotSource
from services.router.requests import RouteRequest, Started
from services.router.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class Decided:
    """A recorded decision, and how it looks to the client."""

    choice: Choice
    started: Started


class Deciding:
    """Decides on the last known state and records beside ("eventual" consistency).

    Args:
        chooser: decides.
        commits: records.
        conversations: which model a conversation keeps.

    """

    def __init__(self, chooser: Chooser, commits: Commits, conversations: Conversations) -> None:
        self._chooser, self._commits, self._conversations = chooser, commits, conversations
        self._gathering = Gathering(self._settle_one)

    async def decide(self, request: RouteRequest) -> Decided:
        """Routes a request. Raises NoEligibleModelError, OverloadedError."""
        self._commits.require_room()
        if not (request.sla_class.sticky_conversations and request.conversation_id):
            return await self._settle(request, None)
        decided = await self._settle(request, await self._kept_model(request.conversation_id))
        await self._keep(request.conversation_id, decided.started.model_id)
        return decided

    async def _settle(self, request: RouteRequest, kept_model: str | None) -> Decided:
        return await self._gathering.run((request, kept_model))

    def _settle_one(self, asked: tuple[RouteRequest, str | None]) -> Decided:
        request, kept_model = asked
        choice = self._chooser.choose(request, request.traceparent, kept_model)
        self._commits.submit(_entry(request, choice))
        _note(choice)
        return Decided(choice, choice.started(self._commits.degraded))

    async def _kept_model(self, conversation_id: str) -> str | None:
        try:
            return await self._conversations.model(conversation_id)
        except StateUnavailableError:
            return None

    async def _keep(self, conversation_id: str, model_id: str) -> None:
        try:
            await self._conversations.keep(conversation_id, model_id)
        except StateUnavailableError:
            # Degraded: the next turn of the conversation is routed anew.
            return


class StrictDeciding(Deciding):
    """Reads the newest state before deciding and records before dispatch, one request after the other.

    Another replica that decides between the read and the record makes this one decide again, so every
    decision is made on exactly the step, debt and snapshot before it. While the log is away it goes on as
    `Deciding` does, and says so.
    """

    def __init__(
        self,
        chooser: Chooser,
        commits: Commits,
        conversations: Conversations,
        log: EventLog,
        classes: ClassStates,
        snapshots: Snapshots,
        source: SnapshotSource,
    ) -> None:
        super().__init__(chooser, commits, conversations)
        self._log, self._classes, self._snapshots, self._source = log, classes, snapshots, source
        self._one_at_a_time = asyncio.Lock()

    async def _settle(self, request: RouteRequest, kept_model: str | None) -> Decided:
        async with self._one_at_a_time:
            decided = await self._settle_exactly(request, kept_model)
        _note(decided.choice)
        return decided

    async def _settle_exactly(self, request: RouteRequest, kept_model: str | None) -> Decided:
        while True:
            try:
                await self._read_state(request.sla_class.name)
            except StateUnavailableError:
                return await super()._settle(request, kept_model)
            choice = self._chooser.choose(request, request.traceparent, kept_model)
            try:
                committed = await self._commits.submit_at(_entry(request, choice), choice.event.step_seen - 1)
            except StateUnavailableError:
                return Decided(choice, choice.started(degraded=True))
            if committed is not None:
                return Decided(choice, choice.started(degraded=False, step=committed.step))

    async def _read_state(self, sla_class: str) -> None:
        await self._commits.flushed()
        self._classes.seen(sla_class, await self._log.class_state(sla_class))
        await self._snapshots.refresh(self._source)


def _entry(request: RouteRequest, choice: Choice) -> LogEntry:
    return LogEntry(choice.event, choice.event.sla_class, choice.debt_change, request.supplied)


def _note(choice: Choice) -> None:
    """Puts the decision into the span in which it was made."""
    if (current := current_span()) is not None:
        event = choice.event
        current.set_attributes(
            {"gen_ai.request.model": event.model_id, "messplus.sla_class": event.sla_class}
        )
