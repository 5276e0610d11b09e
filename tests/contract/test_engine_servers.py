"""What is special of each kind of server."""

import asyncio
import json
from contextlib import aclosing, suppress
from typing import Any

import pytest

from services.core.errors import (
    BrokenStreamError,
    EngineError,
    EngineTimeoutError,
    InvalidRequestError,
    ServerBusyError,
)
from services.worker.generation import (
    FinishReason,
    GenerationTask,
    Message,
    Sampling,
    TextDelta,
)
from services.worker.steps import StepTier
from tests.contract.engine_doubles import (
    PATIENCE_SECONDS,
    PROMPT,
    Answer,
    WorkLog,
    answer_of,
    chunk,
    loaded,
    models,
    openai_double,
    refuses,
    streams,
    usage,
)
from tests.contract.http_double import Exchange
from tests.contract.tgi_double import TgiDouble


async def test_a_server_that_counts_at_the_end_is_told_apart_and_its_counts_add_up() -> None:
    double = openai_double(streams(chunk("a"), chunk("b"), chunk("", "length"), usage(7, 5)))
    meter = WorkLog()
    async with loaded("openai", double) as engine:
        text, end = await answer_of(engine, meter, top_k=5, stop=("x",), seed=1)
        assert engine.step_tier is StepTier.REQUEST_TIMES
    assert (text, end.reason, end.prompt_tokens, end.completion_tokens) == ("ab", FinishReason.LENGTH, 7, 5)
    assert sum(prefill for prefill, _, _ in meter.calls) == 7
    assert sum(decode for _, decode, _ in meter.calls) == 5
    asked = json.loads(double.seen[-1].body)
    assert asked["stream_options"] == {"include_usage": True}
    assert (asked["top_k"], asked["stop"], asked["seed"]) == (5, ["x"], 1)


async def test_vllm_counts_with_every_chunk_and_tells_its_batch() -> None:
    def counted(text: str, prompt: int, completion: int, reason: str | None = None) -> dict[str, Any]:
        return chunk(text, reason, usage=usage(prompt, completion)["usage"])

    double = openai_double(
        streams(counted("", 7, 0), counted("ab", 7, 2), counted("c", 7, 3, "stop"), usage(7, 3)),
        models("m", owned_by="vllm", max_model_len=4096),
    )
    page = b'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 3.0\n'
    double.routes["GET /metrics"] = refuses(200, page)
    meter = WorkLog()
    async with loaded("openai", double) as engine:
        assert engine.step_tier is StepTier.TOKEN_TIMES
        assert (await answer_of(engine, meter))[0] == "abc"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while engine.server_load is None:
                await asyncio.sleep(0.01)
        assert (engine.server_load.running, engine.server_load.waiting) == (2, 3)
    assert meter.calls == [(7, 0, 7), (0, 2, 9), (0, 1, 10)]
    asked = next(json.loads(e.body) for e in double.seen if e.path.endswith("completions"))
    assert asked["stream_options"]["continuous_usage_stats"]
    assert asked["top_k"] == -1


async def test_tgi_sees_its_first_token_once_and_says_why_it_refuses() -> None:
    double = TgiDouble(256, seconds_per_token=0.0)
    async with loaded("tgi", double) as engine:
        text, end = await answer_of(engine, max_tokens=100)
        assert double.prompts[-1].count("<s>") == 1
        assert (text, end.prompt_tokens) == (PROMPT, len(double.prompts[-1]))
        double.max_concurrent_requests = 0
        with pytest.raises(ServerBusyError):
            await answer_of(engine)
        with pytest.raises(InvalidRequestError, match="presence_penalty"):
            await answer_of(engine, presence_penalty=1.0)


@pytest.mark.parametrize(
    ("generate", "error", "said"),
    [
        (refuses(424, {"error": "CUDA", "error_type": "generation"}), EngineError, "424"),
        (refuses(422, {"error": "too long", "error_type": "validation"}), InvalidRequestError, "too long"),
        (refuses(503, {"error": "x"}, retry_after="9"), ServerBusyError, "9 s"),
        (streams({"error": "CUDA", "error_type": "generation"}, end="just end"), BrokenStreamError, "CUDA"),
        (streams(b"data:{broken\n\n", end="just end"), BrokenStreamError, "not understood"),
        (streams(end="hang up"), BrokenStreamError, "broke off"),
        (streams(end="just end"), BrokenStreamError, "no finish reason"),
        (streams(end="hang"), EngineTimeoutError, "first token"),
    ],
)
async def test_errors_of_tgi_are_told_apart(generate: Answer, error: type[Exception], said: str) -> None:
    double = TgiDouble(256)
    double.routes["POST /generate_stream"] = generate
    async with loaded("tgi", double, first_token_timeout_seconds=0.3) as engine:
        with pytest.raises(error, match=said) as caught:
            await answer_of(engine)
    assert type(caught.value) is error


@pytest.mark.parametrize("kind", ["openai", "tgi"])
async def test_closing_an_answer_closes_the_connection_and_the_server_stops(kind: str) -> None:
    tgi = TgiDouble(256, seconds_per_token=0.01)
    left = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.begin_events()
        with suppress(ConnectionError):
            while not exchange.gone:
                await exchange.event(chunk("a"))
                await asyncio.sleep(0.01)
        left.set()

    task = GenerationTask("r", "g", (Message("user", "word " * 100),), Sampling(max_tokens=100))
    async with loaded(kind, tgi if kind == "tgi" else openai_double(endless)) as engine:
        async with aclosing(engine.generate(task, WorkLog())) as events:
            assert isinstance(await anext(events), TextDelta)
        async with asyncio.timeout(PATIENCE_SECONDS):
            if kind == "openai":
                await left.wait()
            while tgi.active:
                await asyncio.sleep(0.01)
    assert tgi.generated < 50
