"""Servers that misbehave in one way each, and engines in front of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from services.common.zoo import ModelSettings
from services.worker.engines import make_engine
from services.worker.generation import (
    EngineFinished,
    GenerationTask,
    Message,
    Sampling,
)
from services.worker.ports import Engine
from tests.contract.http_double import Exchange, HttpDouble, running

PATIENCE_SECONDS = 30.0
PROMPT = "secret words of a client that nobody else may see"
CHAT = "POST /v1/chat/completions"
Answer = Callable[[Exchange], Awaitable[None]]


class WorkLog:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        self.calls.append((prefill_tokens, decode_tokens, context_tokens))


def models(*ids: str, **more: Any) -> Answer:
    entries = [{"id": model_id, "object": "model", **more} for model_id in ids]

    async def answer(exchange: Exchange) -> None:
        await exchange.answer({"object": "list", "data": entries})

    return answer


def refuses(status: int, body: Any = None, **headers: str) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.answer(body or {"error": {"message": "no"}}, status, **headers)

    return answer


def streams(*events: Any, end: str = "done") -> Answer:
    """Sends these events (bytes go as they are), then ends as told."""

    async def answer(exchange: Exchange) -> None:
        await exchange.begin_events()
        for event in events:
            await (exchange.raw(event) if isinstance(event, bytes) else exchange.event(event))
        if end == "hang up":
            exchange.hang_up()
            return
        if end == "hang":
            while not exchange.gone:
                await asyncio.sleep(0.01)
            return
        if end == "done":
            await exchange.raw(b"data: [DONE]\n\n")
        await exchange.end_events()

    return answer


def chunk(text: str = "", reason: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }


def usage(prompt: int, completion: int) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**chunk(), "choices": [], "usage": counts}


GOOD = streams(chunk("a"), chunk("b", "stop"), usage(7, 2))


def openai_double(chat: Answer = GOOD, listing: Answer | None = None) -> HttpDouble:
    return HttpDouble({"GET /v1/models": listing or models("m"), CHAT: chat})


def engine_of(kind: str, *urls: str, **server: Any) -> Engine:
    suffix = "/v1" if kind == "openai" else ""
    settings = {"urls": [url + suffix for url in urls], "retries": 1, **server}
    return make_engine(ModelSettings(id="m", engine=kind, context_window_tokens=256, server=settings))


@asynccontextmanager
async def loaded(kind: str, *doubles: HttpDouble, **server: Any) -> AsyncIterator[Engine]:
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(running(double))).url for double in doubles]
        engine = engine_of(kind, *urls, **server)
        stack.push_async_callback(engine.close)
        await engine.load()
        yield engine


async def answer_of(
    engine: Engine, meter: WorkLog | None = None, **sampling: Any
) -> tuple[str, EngineFinished]:
    task = GenerationTask("r", "g", (Message("user", PROMPT),), Sampling(**{"max_tokens": 8, **sampling}))
    text = ""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        aclosing(engine.generate(task, meter or WorkLog())) as events,
    ):
        async for event in events:
            if isinstance(event, EngineFinished):
                return text, event
            text += event.text
    raise AssertionError("the engine did not say that it finished")
