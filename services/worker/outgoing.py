"""A generation as its consumer sees it: text in pieces that are worth a message, then the end."""

import asyncio
from collections.abc import AsyncIterator

from services.core.errors import MessPlusError
from services.worker.generation import Finished, TextDelta

GAP_SECONDS = 0.004


class Generation:
    """A generation under way. `events` is its only consumer's view; `cancel` may be called at any time.

    Deltas that follow each other faster than `GAP_SECONDS` are joined: a message costs every service on the
    way more than the token in it. The first delta and the end never wait; max_tokens bounds what does.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._deltas: list[TextDelta] = []
        self._end: Finished | MessPlusError | None = None
        self._not_before = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def run(self, body: "asyncio.Task[None]") -> None:
        """Names the task that feeds this generation."""
        self._task = body

    def put(self, event: TextDelta | Finished | MessPlusError) -> None:
        """Adds an event; an error or Finished is the last one."""
        if not isinstance(event, TextDelta):
            self._end = event
            self._news.set()
            return
        self._deltas.append(event)
        if self._loop.time() >= self._not_before:
            self._news.set()
        elif self._alarm is None:
            self._alarm = self._loop.call_at(self._not_before, self._news.set)

    def cancel(self) -> None:
        """Stops the work, also while it waits for its slot. Nothing happens once it has ended."""
        if self._task:
            self._task.cancel()

    async def events(self) -> AsyncIterator[TextDelta | Finished]:
        """Deltas, then Finished. Raises InvalidRequestError or WorkerFailedError."""
        while True:
            await self._news.wait()
            if self._deltas:
                yield self._joined()
            elif isinstance(self._end, Finished):
                yield self._end
                return
            elif self._end is not None:
                raise self._end

    def _joined(self) -> TextDelta:
        """All deltas that wait, as one."""
        deltas, self._deltas = self._deltas, []
        self._not_before = self._loop.time() + GAP_SECONDS
        if self._alarm is not None:
            # A late one would announce text that is gone.
            self._alarm.cancel()
            self._alarm = None
        if self._end is None:
            self._news.clear()
        return TextDelta("".join(delta.text for delta in deltas), sum(delta.token_count for delta in deltas))
