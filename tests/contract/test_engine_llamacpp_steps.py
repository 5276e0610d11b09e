"""How long a step of llama.cpp in process may be: what one reads, and how soon a cancelled prompt stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from services.common.model_store import catalogue
from services.worker.adapters.llamacpp_engine import LlamacppEngine
from services.worker.generation import EngineFinished, GenerationTask, Message, Sampling
from tests.contract.test_engine_contract import weights

pytestmark = [pytest.mark.model, pytest.mark.asyncio]
MODEL, WINDOW_TOKENS, CHUNK_TOKENS = "smollm2-135m", 1024, 16
DONE_SECONDS = 60.0


class Steps:
    """A meter that keeps every piece of work, and calls back in the engine's thread."""

    def __init__(self, heard: asyncio.Event | None = None) -> None:
        self.prefill: list[int] = []
        self._heard, self._loop = heard, asyncio.get_running_loop()

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        """See WorkMeter."""
        if prefill_tokens:
            self.prefill.append(prefill_tokens)
        if self._heard is not None:
            self._loop.call_soon_threadsafe(self._heard.set)


@asynccontextmanager
async def engine(slots: int, chunk_tokens: int) -> AsyncIterator[LlamacppEngine]:
    sha256 = catalogue()[MODEL].source.sha256
    made = LlamacppEngine(weights, sha256, MODEL, WINDOW_TOKENS, slots, 1, chunk_tokens)
    await made.load()
    yield made
    await made.close()


async def run(engine: LlamacppEngine, words: int, max_tokens: int, meter: Steps) -> EngineFinished:
    task = GenerationTask("r", "g", (Message("user", "word " * words),), Sampling(max_tokens=max_tokens))
    async with aclosing(engine.generate(task, meter)) as events:
        async for event in events:
            if isinstance(event, EngineFinished):
                return event
    raise AssertionError("the engine did not say that it finished")


async def test_no_step_reads_more_than_it_may_and_a_cancelled_prompt_stops_between_two() -> None:
    async with engine(1, CHUNK_TOKENS) as made, asyncio.timeout(DONE_SECONDS):
        whole = Steps()
        finished = await run(made, 100, 1, whole)
        assert max(whole.prefill) == CHUNK_TOKENS
        assert sum(whole.prefill) == finished.prompt_tokens
        heard = asyncio.Event()
        meter = Steps(heard)
        reading = asyncio.create_task(run(made, 900, 1, meter))
        await heard.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert made.active == 0
        assert sum(meter.prefill) <= 20 * CHUNK_TOKENS  # of 900; 2 steps where the machine is quiet


async def test_prompts_are_read_while_every_other_slot_writes() -> None:
    async with engine(3, 1) as made, asyncio.timeout(DONE_SECONDS):
        heard = asyncio.Event()
        writing = [asyncio.create_task(run(made, 5, 400, Steps(heard))) for _ in range(2)]
        await heard.wait()
        finished = await run(made, 20, 1, Steps())
        assert finished.completion_tokens == 1
        for task in writing:
            task.cancel()
        await asyncio.wait(writing)
