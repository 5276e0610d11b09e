"""Runs one generation on a worker and records how it ended, whatever happens."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from services.common.spans import SpanKind
from services.common.telemetry import span
from services.core.events import Role
from services.router.fleet import Fleet, WorkerState
from services.router.outcomes import Outcomes, Progress
from services.router.ports import WorkerEnd
from services.router.refusals import Refusal, WorkerRefusal
from services.router.requests import Generation


class Running:
    """Dispatches generations.

    Args:
        fleet: workers.
        outcomes: where ends are recorded.
        timeout_seconds: deadline where the client set none.
        clock: monotonic seconds.

    """

    def __init__(
        self,
        fleet: Fleet,
        outcomes: Outcomes,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet, self._outcomes = fleet, outcomes
        self.timeout_seconds, self.clock = timeout_seconds, clock

    async def stream(
        self,
        state: WorkerState,
        progress: Progress,
        work: Generation,
        role: Role,
        generations: int,
        timeout_seconds: float,
    ) -> AsyncGenerator[str, None]:
        """Texts of a generation as they come. Its end is in `progress` and recorded with this role.

        A generation that fails, or whose reader leaves, is recorded as failed. Raises WorkerRefusal.
        """
        state.in_flight += 1
        reason = "cancelled"
        try:
            model = progress.model_id
            with span(f"generate {model}", SpanKind.CLIENT, {"gen_ai.request.model": model}):
                async with aclosing(self._texts(state, progress, work, timeout_seconds)) as texts:
                    async for text in texts:
                        yield text
            reason = progress.end.finish_reason if progress.end else "error"
            self._fleet.ended(state, failed=False)
        except WorkerRefusal as refusal:
            self._fleet.ended(state, failed=refusal.kind is Refusal.BROKEN)
            reason = "cancelled" if refusal.kind is Refusal.LATE else "error"
            progress.error = refusal.reason
            raise
        finally:
            state.in_flight -= 1
            recorded = role if reason in ("stop", "length") else Role.FAILED
            self._outcomes.ended(progress, work, recorded, reason, self.clock(), generations)

    def failed(self, progress: Progress, work: Generation, generations: int) -> None:
        """Records a generation that could not even be dispatched."""
        progress.error = "no worker of this model could take it"
        self._outcomes.ended(progress, work, Role.FAILED, "error", self.clock(), generations)

    async def _texts(
        self, state: WorkerState, progress: Progress, work: Generation, timeout_seconds: float
    ) -> AsyncGenerator[str, None]:
        pieces = state.worker.generate(progress.request_id, progress.generation_id, work, timeout_seconds)
        async with aclosing(pieces) as stream:
            async for piece in stream:
                if isinstance(piece, WorkerEnd):
                    progress.end = piece
                    break
                text, tokens = piece
                if progress.first_token_at is None:
                    progress.first_token_at = self.clock()
                    self._fleet.saw_first_token(state.model_id, progress.first_token_at - progress.began_at)
                progress.tokens += tokens
                if work.labeling is not None:
                    progress.answer.append(text)
                yield text
        if progress.end is None or progress.end.finish_reason in ("error", "cancelled"):
            raise WorkerRefusal(Refusal.BROKEN, "the engine ended without an answer")


class Explorations:
    """Runs the models that are only learned from, in the background, each with a deadline."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self,
        running: Running,
        state: WorkerState | None,
        progress: Progress,
        work: Generation,
        generations: int,
    ) -> None:
        """Runs one generation to its end; without a worker it has failed already."""
        if state is None:
            running.failed(progress, work, generations)
            return
        task = asyncio.get_running_loop().create_task(_explore(running, state, progress, work, generations))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Returns once all have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """Cancels those that still run; they are recorded as failed."""
        for task in self._tasks:
            task.cancel()
        await self.drain()


async def _explore(
    running: Running, state: WorkerState, progress: Progress, work: Generation, generations: int
) -> None:
    stream = running.stream(state, progress, work, Role.EXPLORED, generations, running.timeout_seconds)
    async with aclosing(stream) as texts:
        try:
            async for _ in texts:
                pass
        except WorkerRefusal:
            # Recorded as a failed generation; an exploration concerns no client.
            return
