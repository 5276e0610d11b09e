"""Does small pieces of work together while many come at once."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Generic, TypeVar

AskT = TypeVar("AskT")
AnswerT = TypeVar("AnswerT")

_GATHER_SECONDS = 0.002
_LEAST_COMPANY = 3
_PROBE_EVERY = 64


class Gathering(Generic[AskT, AnswerT]):
    """Runs `work` for one caller at once, for many callers in turn without anything in between.

    Between two requests gRPC displaces the code and data of a decision from the processor's caches, and
    fetching them again takes longer than the decision itself. So while requests come thick, they wait two
    milliseconds for each other. Now and then a single one waits as well, to find out whether they do.

    Args:
        work: what is done for each; never waits.

    """

    def __init__(self, work: Callable[[AskT], AnswerT]) -> None:
        self._work = work
        self._waiting: list[tuple[AskT, Context, asyncio.Future[AnswerT]]] = []
        self._crowded, self._alone = False, 0

    async def run(self, ask: AskT) -> AnswerT:
        """The work's answer. Raises what it raises."""
        self._alone += 1
        if not self._crowded and not self._waiting and self._alone % _PROBE_EVERY:
            return self._work(ask)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AnswerT] = loop.create_future()
        if not self._waiting:
            loop.call_later(_GATHER_SECONDS, self._run_all)
        self._waiting.append((ask, copy_context(), answer))
        return await answer

    def _run_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._crowded = len(waiting) >= _LEAST_COMPANY
        for ask, context, answer in waiting:
            if answer.cancelled():
                continue
            try:
                answer.set_result(context.run(self._work, ask))
            except Exception as error:
                # It is for the caller to hear.
                answer.set_exception(error)
