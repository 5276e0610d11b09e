"""What every engine must do, whichever it is."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.model_store import ModelStore, ModelStoreSettings, catalogue
from services.common.zoo import ModelSettings
from services.core.errors import InvalidRequestError
from services.worker.adapters.echo_engine import EchoEngine
from services.worker.adapters.llamacpp_engine import LlamacppEngine
from services.worker.engines import make_engine
from services.worker.generation import (
    EngineFinished,
    FinishReason,
    GenerationTask,
    Message,
    Sampling,
    TextDelta,
)
from services.worker.ports import Engine
from tests.contract.http_double import running
from tests.contract.llamacpp_server import MODEL, llamacpp_server
from tests.contract.tgi_double import TgiDouble
from tests.contract.tiny_transformer import write_tiny_model

WINDOW_TOKENS, SLOTS, CHUNK_TOKENS = 1024, 2, 64
FINISH_SECONDS = 60.0
PROMPT = "Count from one to fifty in words, separated by commas, please: one, two, three, four, five"


class WorkLog:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.prefill_tokens = self.decode_tokens = self.context_tokens = 0

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        self.prefill_tokens += prefill_tokens
        self.decode_tokens += decode_tokens
        self.context_tokens = context_tokens


def task(content: str = PROMPT, **sampling: object) -> GenerationTask:
    return GenerationTask("r", "g", (Message("user", content),), Sampling(**{"max_tokens": 8, **sampling}))  # type: ignore[arg-type]


async def finish(engine: Engine, what: GenerationTask) -> tuple[list[TextDelta], EngineFinished, WorkLog]:
    meter, deltas = WorkLog(), []
    async with aclosing(engine.generate(what, meter)) as events:
        async for event in events:
            if isinstance(event, EngineFinished):
                return deltas, event, meter
            deltas.append(event)
    raise AssertionError("the engine did not say that it finished")


def weights() -> Path:
    return ModelStore.from_settings(ModelStoreSettings()).ensure(catalogue()[MODEL])


@asynccontextmanager
async def echo() -> AsyncIterator[Engine]:
    yield EchoEngine(WINDOW_TOKENS, SLOTS, tokens_per_second=200.0)


@asynccontextmanager
async def llamacpp() -> AsyncIterator[Engine]:
    source = catalogue()[MODEL].source
    yield LlamacppEngine(weights, source.sha256, MODEL, WINDOW_TOKENS, SLOTS, 1, CHUNK_TOKENS)


@asynccontextmanager
async def openai() -> AsyncIterator[Engine]:
    with llamacpp_server(weights(), WINDOW_TOKENS, SLOTS) as url:
        yield make_engine(served("openai", url))


@asynccontextmanager
async def tgi() -> AsyncIterator[Engine]:
    async with running(TgiDouble(WINDOW_TOKENS)) as double:
        yield make_engine(served("tgi", double.url))


@asynccontextmanager
async def transformers() -> AsyncIterator[Engine]:
    pytest.importorskip("torch", reason="torch is not installed: pip install messplus[worker-transformers]")
    with tempfile.TemporaryDirectory() as folder:
        source = str(write_tiny_model(Path(folder), WINDOW_TOKENS))
        limits = {"context_window_tokens": WINDOW_TOKENS, "max_batch_size": SLOTS}
        yield make_engine(ModelSettings(id="m", engine="transformers", source=source, **limits))


def served(kind: str, url: str) -> ModelSettings:
    settings = {"id": "m", "engine": kind, "server": {"urls": [url]}}
    return ModelSettings(**settings, context_window_tokens=WINDOW_TOKENS, max_batch_size=SLOTS)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        echo,
        pytest.param(llamacpp, marks=pytest.mark.model),
        pytest.param(openai, marks=pytest.mark.model),
        tgi,
        transformers,
    ],
    ids=lambda make: make.__name__,
)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    async with request.param() as made:
        await made.load()
        yield made
        await made.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_counts_agree_between_deltas_usage_and_meter(engine: Engine) -> None:
    deltas, finished, meter = await finish(engine, task())
    assert finished.completion_tokens == sum(delta.token_count for delta in deltas) == meter.decode_tokens
    assert meter.prefill_tokens == finished.prompt_tokens - finished.cached_prompt_tokens > 0
    assert meter.context_tokens == finished.prompt_tokens + finished.completion_tokens
    assert "".join(delta.text for delta in deltas).strip()


async def test_max_tokens_ends_with_length(engine: Engine) -> None:
    _, finished, _ = await finish(engine, task(max_tokens=3))
    assert (finished.completion_tokens, finished.reason) == (3, FinishReason.LENGTH)


async def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    whole = "".join(delta.text for delta in (await finish(engine, task(max_tokens=30)))[0])
    stop = whole[len(whole) // 2 :][:4]
    deltas, finished, _ = await finish(engine, task(max_tokens=30, stop=(stop,)))
    assert "".join(delta.text for delta in deltas) == whole[: whole.index(stop)]
    assert finished.reason is FinishReason.STOP


async def test_a_seed_makes_it_repeatable(engine: Engine) -> None:
    texts = []
    for _ in range(2):
        deltas, _, _ = await finish(engine, task(temperature=1.5, top_p=0.9, top_k=40, seed=2**40 + 7))
        texts.append("".join(delta.text for delta in deltas))
    assert texts[0] == texts[1]


async def test_characters_are_never_cut(engine: Engine) -> None:
    content = "Repeat exactly: 日本語 🙂🙃 ñandú 日本語 🙂🙃"
    for limit in (2, 5, 9):
        deltas, _, _ = await finish(engine, task(content, max_tokens=limit))
        "".join(delta.text for delta in deltas).encode("utf-8", "strict")


async def test_closing_stops_the_work(engine: Engine) -> None:
    meter = WorkLog()
    async with aclosing(engine.generate(task(PROMPT * 4, max_tokens=500), meter)) as events:
        async for _ in events:
            break
    done = meter.decode_tokens
    assert engine.active == 0
    assert done < 20
    await finish(engine, task())
    assert meter.decode_tokens == done


async def test_cancelling_during_the_prompt_stops_the_work(engine: Engine) -> None:
    meter = WorkLog()

    async def consume() -> None:
        async with aclosing(engine.generate(task("word " * 900, max_tokens=100), meter)) as events:
            async for _ in events:
                pass

    running = asyncio.create_task(consume())
    async with asyncio.timeout(FINISH_SECONDS):
        while not engine.active:
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert engine.active == 0
    assert meter.decode_tokens < 100


async def test_a_prompt_beyond_the_window_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        await finish(engine, task("word " * (WINDOW_TOKENS + 100)))
    assert refusal.value.violations[0].field == "prompt"
    assert str(WINDOW_TOKENS) in str(refusal.value)


async def test_generations_run_side_by_side(engine: Engine) -> None:
    tasks = [replace(task(), generation_id=str(i)) for i in range(SLOTS)]
    results = await asyncio.wait_for(asyncio.gather(*(finish(engine, t) for t in tasks)), FINISH_SECONDS)
    assert [finished.completion_tokens for _, finished, _ in results] == [8] * SLOTS


async def test_it_says_what_it_is(engine: Engine) -> None:
    assert engine.info.context_window_tokens == WINDOW_TOKENS
    assert engine.info.slots == SLOTS
    assert engine.info.version
