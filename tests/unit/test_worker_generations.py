"""Admission, waiting, cancellation and accounting of a worker's generations."""

import asyncio
import time
from collections.abc import AsyncGenerator
from itertools import count

import pytest

from services.core.errors import (
    EngineError,
    InvalidRequestError,
    OverloadedError,
    ServerBusyError,
    WorkerFailedError,
)
from services.worker.adapters.echo_engine import EchoEngine
from services.worker.generation import (
    EngineFinished,
    Finished,
    FinishReason,
    GenerationTask,
    Message,
    Sampling,
    TextDelta,
)
from services.worker.generations import Generations, WorkerState
from services.worker.outgoing import GAP_SECONDS, Generation
from services.worker.ports import ServerLoad, WorkMeter
from services.worker.steps import StepRecorder

WORDS = "one two three four five six"


def task(content: str = WORDS, name: str = "g", max_tokens: int = 256) -> GenerationTask:
    return GenerationTask("r", name, (Message("user", content),), Sampling(max_tokens=max_tokens))


class HeldEngine(EchoEngine):
    """Waits before its last token until it is told to go on."""

    def __init__(self, slots: int = 1) -> None:
        super().__init__(64, slots)
        self.go_on = asyncio.Event()

    async def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        self.active += 1
        try:
            yield TextDelta("a", 1)
            await self.go_on.wait()
            yield EngineFinished(FinishReason.STOP, 1, 0, 1, 0.0, 0.0)
        finally:
            self.active -= 1


class BrokenEngine(EchoEngine):
    """Breaks after a token, in a way it announces or not."""

    def __init__(self, error: Exception) -> None:
        super().__init__(64, 1)
        self.error = error

    async def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        yield TextDelta("a", 1)
        raise self.error


def serving(engine: EchoEngine, max_queue_size: int = 0) -> Generations:
    recorder = StepRecorder(count().__next__, lambda: 0.0)
    generations = Generations(engine, recorder, "echo", max_queue_size)
    generations.state = WorkerState.SERVING
    return generations


async def text_of(generation: Generation) -> str:
    return "".join([event.text async for event in generation.events() if isinstance(event, TextDelta)])


async def test_deltas_that_wait_leave_as_one_and_the_first_never_waits() -> None:
    generations = serving(EchoEngine(64, 1))
    events = generations.start(task()).events()
    assert await anext(events) == TextDelta("one ", 1)
    await generations.drained()
    assert await anext(events) == TextDelta("two three four five six", 5)
    assert isinstance(await anext(events), Finished)
    assert await anext(events, None) is None


async def test_a_late_alarm_announces_nothing() -> None:
    generation = Generation()
    events = generation.events()
    generation.put(TextDelta("a", 1))
    assert await anext(events) == TextDelta("a", 1)
    generation.put(TextDelta("b", 1))
    time.sleep(2 * GAP_SECONDS)  # noqa: ASYNC251 - a loop too busy to ring in time
    generation.put(TextDelta("c", 1))
    assert await anext(events) == TextDelta("bc", 2)
    following = asyncio.ensure_future(anext(events))
    await asyncio.sleep(2 * GAP_SECONDS)
    assert not following.done()
    generation.put(WorkerFailedError("echo", 3, "broken"))
    with pytest.raises(WorkerFailedError):
        await following


async def first_delta(generation: Generation) -> None:
    async for _ in generation.events():
        return


async def test_deltas_then_the_end_with_times() -> None:
    events = [event async for event in serving(EchoEngine(64, 1)).start(task()).events()]
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.engine.completion_tokens == 6
    assert 0 <= end.queue_seconds <= end.time_to_first_token_seconds


@pytest.mark.parametrize("state", [WorkerState.LOADING, WorkerState.DRAINING])
async def test_nothing_is_taken_while_loading_or_draining(state: WorkerState) -> None:
    generations = serving(EchoEngine(64, 1))
    generations.state = state
    with pytest.raises(WorkerFailedError, match=state.value):
        generations.start(task())


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    engine = HeldEngine()
    generations = serving(engine, max_queue_size=1)
    running, waiting = generations.start(task()), generations.start(task())
    await first_delta(running)
    assert (generations.load.running, generations.load.waiting, generations.load.batch) == (1, 1, 1)
    with pytest.raises(OverloadedError) as refusal:
        generations.start(task())
    assert refusal.value.retry_after_seconds > 0
    engine.go_on.set()
    assert [await text_of(waiting)] == ["a"]
    await generations.drained()
    assert (generations.load.running, generations.load.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        (None, (1, 1)),
        (ServerLoad(1, 0), (1, 1)),
        (ServerLoad(5, 2), (5, 3)),  # others' requests there
        (ServerLoad(0, 1), (0, 2)),  # ours waits there
        (ServerLoad(0, 0), (1, 1)),  # older than our request
    ],
)
async def test_the_load_contains_what_the_server_says_of_others(
    server: ServerLoad | None, shown: tuple[int, int]
) -> None:
    engine = HeldEngine()
    engine.server_load = server  # type: ignore[assignment]
    generations = serving(engine, max_queue_size=1)
    running = generations.start(task())
    generations.start(task())
    await first_delta(running)
    assert (generations.load.running, generations.load.waiting) == shown
    engine.go_on.set()
    await generations.drained()


async def test_a_busy_server_is_a_full_queue_that_says_when_to_come_back() -> None:
    class BusyEngine(BrokenEngine):
        async def generate(
            self, task: GenerationTask, meter: WorkMeter
        ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
            raise self.error
            yield  # makes it a generator

    with pytest.raises(OverloadedError) as refusal:
        await text_of(serving(BusyEngine(ServerBusyError("http://a", 429, 7.0))).start(task()))
    assert refusal.value.retry_after_seconds == 7.0
    assert "http://a" in str(refusal.value)


async def test_cancelling_stops_the_engine_and_frees_the_slot() -> None:
    engine = HeldEngine()
    generations = serving(engine)
    generation = generations.start(task())
    await first_delta(generation)
    assert engine.active == 1
    generation.cancel()
    await generations.drained()
    assert engine.active == 0
    engine.go_on.set()
    assert await text_of(generations.start(task())) == "a"


async def test_cancelling_while_waiting_never_reaches_the_engine() -> None:
    engine = HeldEngine()
    generations = serving(engine, max_queue_size=1)
    running, waiting = generations.start(task()), generations.start(task())
    await first_delta(running)
    waiting.cancel()
    engine.go_on.set()
    await generations.drained()
    assert engine.active == 0


@pytest.mark.parametrize("error", [EngineError("no memory"), RuntimeError("a defect")])
async def test_a_broken_engine_says_how_many_tokens_came(error: Exception) -> None:
    with pytest.raises(WorkerFailedError) as failure:
        await text_of(serving(BrokenEngine(error)).start(task()))
    assert failure.value.tokens_sent == 1


async def test_a_prompt_that_does_not_fit_is_the_clients_error() -> None:
    with pytest.raises(InvalidRequestError, match="context window of 64"):
        await text_of(serving(EchoEngine(64, 1)).start(task("word " * 64)))


async def test_the_last_step_is_marked_even_when_cancelled() -> None:
    engine = HeldEngine()
    recorder = StepRecorder(count().__next__, lambda: 0.0)
    generations = Generations(engine, recorder, "echo", 0)
    generations.state = WorkerState.SERVING
    generation = generations.start(task())
    await first_delta(generation)
    generation.cancel()
    await generations.drained()
    steps = recorder.take(warming_up=False).steps
    assert [w.finished for step in steps for w in step.work] == [True]
