"""Closing an answer stops a real server: llama.cpp's own listener in a process of its own."""

import asyncio
from contextlib import aclosing

import httpx2
import pytest

from services.common.model_store import ModelStore, ModelStoreSettings, catalogue
from services.common.zoo import ModelSettings
from services.worker.engines import make_engine
from services.worker.generation import GenerationTask, Message, Sampling, TextDelta
from tests.contract.engine_doubles import WorkLog
from tests.contract.llamacpp_server import MODEL, llamacpp_server

PATIENCE_SECONDS, WINDOW_TOKENS, MAX_TOKENS = 60.0, 1024, 900
STORY = "Write a very long story about a fox who travels around the world."


async def figure(url: str, name: str) -> float:
    """A sample of the server's metrics."""
    async with httpx2.AsyncClient() as http:
        page = (await http.get(f"{url.removesuffix('/v1')}/metrics")).text
    return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"llamacpp:{name} "))


@pytest.mark.model
async def test_closing_an_answer_frees_llamacpps_slot() -> None:
    weights = ModelStore.from_settings(ModelStoreSettings()).ensure(catalogue()[MODEL])
    task = GenerationTask("r", "g", (Message("user", STORY),), Sampling(max_tokens=MAX_TOKENS))
    with llamacpp_server(weights, WINDOW_TOKENS, slots=1) as url:
        settings = {"id": "m", "engine": "openai", "server": {"urls": [url]}}
        engine = make_engine(ModelSettings(**settings, context_window_tokens=WINDOW_TOKENS))  # type: ignore[arg-type]
        await engine.load()
        meter = WorkLog()
        async with aclosing(engine.generate(task, meter)) as events:
            assert isinstance(await anext(events), TextDelta)
            assert await figure(url, "requests_processing") == 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await figure(url, "requests_processing"):
                await asyncio.sleep(0.02)
        assert await figure(url, "n_tokens_max") < MAX_TOKENS / 2
        await engine.close()
    assert sum(decode for _, decode, _ in meter.calls) < MAX_TOKENS / 2
