"""The story of a generation in a worker: admitted or refused, waits for a slot, runs, is accounted for."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from enum import Enum

from services.common.telemetry import current_traceparent, span
from services.core.errors import (
    EngineError,
    MessPlusError,
    OverloadedError,
    ServerBusyError,
    WorkerFailedError,
)
from services.worker import instruments as names
from services.worker.generation import EngineFinished, Finished, GenerationTask, TextDelta
from services.worker.instruments import Instruments
from services.worker.outgoing import Generation
from services.worker.ports import Engine, Load
from services.worker.steps import StepRecorder

FIRST_GUESS_SECONDS = 1.0
SMOOTHING = 0.2
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.05, 30.0


_log = logging.getLogger(__name__)


class WorkerState(Enum):
    """Whether new generations are taken."""

    LOADING = "is still loading the model"
    SERVING = "serves"
    DRAINING = "is shutting down"


class Generations:
    """Runs generations on one engine: `max_batch_size` at once, `max_queue_size` waiting, no more."""

    def __init__(
        self,
        engine: Engine,
        recorder: StepRecorder,
        model_id: str,
        max_queue_size: int,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = WorkerState.LOADING
        self._engine, self._recorder, self._model_id = engine, recorder, model_id
        self._slots = asyncio.Semaphore(engine.info.slots)
        self._max_queue_size, self._now = max_queue_size, now_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._mean_seconds = FIRST_GUESS_SECONDS
        self._instruments = Instruments()
        self._attributes = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: engine.info.engine,
            names.MODEL: model_id,
        }
        self._instruments.show_load(lambda: self.load, {names.MODEL: model_id})

    @property
    def load(self) -> Load:
        """What runs and waits now; requests of others at the engine's server are part of it."""
        queued, server = len(self._tasks) - self._running, self._engine.server_load
        if server is None:
            return Load(self._running, queued, self._engine.info.slots)
        running = max(self._running, server.running + server.waiting) - server.waiting
        return Load(max(running, 0), queued + server.waiting, self._engine.info.slots)

    def start(self, task: GenerationTask) -> Generation:
        """Admits a generation.

        Raises:
            WorkerFailedError: while loading or shutting down.
            OverloadedError: when slots and queue are full.

        """
        if self.state is not WorkerState.SERVING:
            raise WorkerFailedError(self._model_id, 0, f"the worker {self.state.value}")
        if len(self._tasks) >= self._engine.info.slots + self._max_queue_size:
            self._instruments.refused.add(1, self._attributes)
            raise OverloadedError(f"the queue of model {self._model_id!r}", self._retry_after_seconds())
        generation = Generation()
        body = asyncio.create_task(self._run(task, generation, self._now()), name=task.generation_id)
        self._tasks.add(body)
        body.add_done_callback(self._tasks.discard)
        generation.run(body)
        return generation

    async def drained(self) -> None:
        """Returns once nothing runs or waits any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _retry_after_seconds(self) -> float:
        """About when a slot of the queue will be free."""
        seconds = self._mean_seconds / self._engine.info.slots
        return min(max(seconds, MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)

    async def _run(self, task: GenerationTask, generation: Generation, arrived: float) -> None:
        sent_tokens = 0
        try:
            with span(f"{names.CHAT} {self._model_id}", attributes=self._attributes) as current:
                async with self._slots:
                    async for event in self._generate(task, arrived):
                        generation.put(event)
                        sent_tokens += event.token_count if isinstance(event, TextDelta) else 0
                current.set_attributes({names.OUTPUT_TOKENS: sent_tokens})
        except asyncio.CancelledError:
            self._instruments.cancelled.add(1, self._attributes)
            raise
        except EngineError as error:
            generation.put(self._failure(error, sent_tokens))
        except MessPlusError as error:
            generation.put(error)
        except Exception:
            _log.exception("generation %s failed", task.generation_id)
            generation.put(WorkerFailedError(self._model_id, sent_tokens, "internal error of the worker"))

    def _failure(self, error: EngineError, sent_tokens: int) -> MessPlusError:
        """What an engine's error is to the caller: a full server is a full queue."""
        if isinstance(error, ServerBusyError) and not sent_tokens:
            what = f"{error.url}, a server of model {self._model_id!r},"
            return OverloadedError(what, error.retry_after_seconds)
        return WorkerFailedError(self._model_id, sent_tokens, str(error), error)

    async def _generate(self, task: GenerationTask, arrived: float) -> AsyncIterator[TextDelta | Finished]:
        """One generation on a slot, which is free, its last step recorded, once the engine has stopped."""
        begun = self._now()
        first_token: float | None = None
        self._running += 1
        meter = self._recorder.begin(task.request_id, task.generation_id, current_traceparent())
        try:
            async with aclosing(self._engine.generate(task, meter)) as events:
                async for event in events:
                    if isinstance(event, EngineFinished):
                        yield self._finish(event, arrived, begun, first_token)
                        continue
                    first_token = first_token or self._now()
                    yield event
        finally:
            self._running -= 1
            meter.ended()

    def _finish(
        self, engine: EngineFinished, arrived: float, begun: float, first_token: float | None
    ) -> Finished:
        now = self._now()
        self._mean_seconds += SMOOTHING * (now - begun - self._mean_seconds)
        to_first_token = (first_token or now) - arrived
        self._instruments.time_to_first_token.record(to_first_token, self._attributes)
        self._instruments.duration.record(now - arrived, self._attributes)
        if engine.completion_tokens > 1:
            seconds = engine.decode_seconds / (engine.completion_tokens - 1)
            self._instruments.time_per_output_token.record(seconds, self._attributes)
        return Finished(engine, begun - arrived, to_first_token)
