"""Servers that are busy, slow or broken: a named error, tried again only before the first token."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from services.core.errors import (
    BrokenStreamError,
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    ServerBusyError,
    ServerDeniedError,
    UnknownServerModelError,
)
from services.worker.ports import Engine
from tests.conftest import free_port
from tests.contract.engine_doubles import (
    CHAT,
    GOOD,
    PATIENCE_SECONDS,
    PROMPT,
    Answer,
    answer_of,
    chunk,
    engine_of,
    loaded,
    openai_double,
    refuses,
    streams,
)
from tests.contract.http_double import Exchange, HttpDouble, running


@pytest.mark.parametrize(
    ("chat", "error", "said"),
    [
        (refuses(500), EngineError, "answered 500"),
        (refuses(404), UnknownServerModelError, "'m'"),
        (refuses(401), ServerDeniedError, "api_key_env"),
        (streams(end="hang up"), BrokenStreamError, "broke off"),
        (streams(b"data: {not json\n\n"), BrokenStreamError, "not understood"),
        (streams({"choices": 7}), BrokenStreamError, "not understood"),
        (streams({"error": {"message": "out of memory"}}), BrokenStreamError, "out of memory"),
        (streams(chunk()), BrokenStreamError, "no finish reason after 0 tokens"),
        (streams(end="hang"), EngineTimeoutError, "first_token_timeout_seconds"),
    ],
)
async def test_an_error_before_the_first_token_is_named(
    chat: Answer, error: type[EngineError], said: str
) -> None:
    async with loaded("openai", openai_double(chat), first_token_timeout_seconds=0.3) as engine:
        with pytest.raises(error) as caught:
            await answer_of(engine)
        assert engine.active == 0
    assert type(caught.value) is error
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("chat", "error", "said"),
    [
        (streams(chunk("a"), end="hang up"), BrokenStreamError, "broke off"),
        (streams(chunk("a"), b"data: {\n\n"), BrokenStreamError, "not understood"),
        (streams(chunk("a"), end="just end"), BrokenStreamError, "no finish reason after 1 tokens"),
        (streams(chunk("a", "stop")), BrokenStreamError, "include_usage"),
        (streams(chunk("a", "stop"), {"usage": {"prompt_tokens": 7}}), BrokenStreamError, "not understood"),
        (streams(chunk("a"), {"choices": [{"delta": 7}]}), BrokenStreamError, "not understood"),
        (streams(chunk("a"), b"data: 7\n\n"), BrokenStreamError, "not understood"),
        (streams(chunk("a"), end="hang"), EngineTimeoutError, "stall_timeout_seconds"),
    ],
)
async def test_after_the_first_token_nothing_is_tried_again(
    chat: Answer, error: type[EngineError], said: str
) -> None:
    double = openai_double(chat)
    async with loaded("openai", double, stall_timeout_seconds=0.3) as engine:
        with pytest.raises(error, match=said):
            await answer_of(engine)
    assert double.asked() == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again_after_the_time_it_named(status: int) -> None:
    answers, times = [refuses(status, retry_after="0.2"), GOOD], []

    async def chat(exchange: Exchange) -> None:
        times.append(asyncio.get_running_loop().time())
        await answers[len(times) - 1](exchange)

    async with loaded("openai", openai_double(chat)) as engine:
        assert (await answer_of(engine))[0] == "ab"
    assert times[1] - times[0] >= 0.2


async def test_a_server_that_asks_for_much_patience_is_left_to_the_caller() -> None:
    double = openai_double(refuses(429, retry_after="60"))
    async with loaded("openai", double) as engine:
        with pytest.raises(ServerBusyError) as busy:
            await answer_of(engine)
    assert busy.value.retry_after_seconds == 60
    assert double.asked() == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [({"message": f"cannot take {PROMPT!r}"}, "left out"), ({"message": "too long"}, "too long")],
)
async def test_a_refused_prompt_is_the_clients_error_and_never_repeated(body: Any, said: str) -> None:
    async with loaded("openai", openai_double(refuses(400, {"error": body}))) as engine:
        with pytest.raises(InvalidRequestError, match=said) as refusal:
            await answer_of(engine)
    assert "secret" not in str(refusal.value)


async def test_another_replica_answers_where_one_fails_and_the_failed_one_comes_back() -> None:
    broken, good = openai_double(refuses(500)), openai_double()
    async with loaded("openai", broken, good, retries=2) as engine:
        for _ in range(6):
            assert (await answer_of(engine))[0] == "ab"
        asked = broken.asked()
        assert asked == 2
        broken.routes[CHAT] = GOOD
        async with asyncio.timeout(PATIENCE_SECONDS):
            while broken.asked() == asked:
                await answer_of(engine)
                await asyncio.sleep(0.02)


async def left_alone(stack: AsyncExitStack, double: HttpDouble, port: int) -> Engine:
    """An engine whose only server was there and has gone."""
    async with running(double, port):
        engine = engine_of("openai", double.url)
        stack.push_async_callback(engine.close)
        await engine.load()
    with pytest.raises(EngineUnreachableError):
        await answer_of(engine)
    return engine


async def test_a_probe_that_is_refused_as_a_request_does_not_end_the_watch() -> None:
    port, double = free_port(), openai_double()
    async with AsyncExitStack() as stack:
        engine = await left_alone(stack, double, port)
        gateway = openai_double(listing=refuses(400))
        async with running(gateway, port), asyncio.timeout(PATIENCE_SECONDS):
            while gateway.asked("models") < 2:
                await asyncio.sleep(0.02)
        await stack.enter_async_context(running(double, port))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not engine.available:
                await asyncio.sleep(0.02)


async def test_without_any_replica_it_says_so_until_one_is_back() -> None:
    port, double = free_port(), openai_double()
    async with AsyncExitStack() as stack:
        engine = await left_alone(stack, double, port)
        assert not engine.available
        await stack.enter_async_context(running(double, port))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not engine.available:
                await asyncio.sleep(0.02)
        assert (await answer_of(engine))[0] == "ab"
