"""Servers that cannot be right end a worker's start, with an error that names the remedy."""

import asyncio
from typing import Any

import pytest

from services.common.zoo import ModelSettings
from services.core.errors import (
    ConfigError,
    EngineUnreachableError,
    ServerDeniedError,
    UnknownServerModelError,
    WrongServerError,
)
from services.worker.engines import make_engine
from tests.conftest import free_port
from tests.contract.engine_doubles import (
    answer_of,
    engine_of,
    loaded,
    models,
    openai_double,
    refuses,
)
from tests.contract.http_double import HttpDouble, running
from tests.contract.tgi_double import MODEL_ID, TgiDouble


@pytest.mark.parametrize(
    ("kind", "double", "server", "error", "said"),
    [
        ("openai", HttpDouble({}), {}, WrongServerError, "GET /models answered 404"),
        ("openai", TgiDouble(256), {}, WrongServerError, "server of the OpenAI API"),
        ("tgi", openai_double(), {}, WrongServerError, "text-generation-inference"),
        ("openai", openai_double(listing=refuses(200, b"<html>")), {}, WrongServerError, "no JSON object"),
        ("openai", openai_double(listing=refuses(200, {"a": 1})), {}, WrongServerError, "no list of models"),
        ("openai", openai_double(), {"model": "gpt"}, UnknownServerModelError, "it has (m)"),
        ("openai", openai_double(listing=models("a", "b")), {}, UnknownServerModelError, "(a, b)"),
        ("tgi", TgiDouble(256), {"model": "gpt"}, UnknownServerModelError, f"({MODEL_ID})"),
        ("openai", openai_double(listing=refuses(401)), {}, ServerDeniedError, "server.api_key_env"),
        ("tgi", TgiDouble(128), {}, ConfigError, "must be at most 128"),
        ("openai", openai_double(listing=models("m", max_model_len=99)), {}, ConfigError, "at most 99"),
    ],
)
async def test_a_server_that_cannot_be_right_ends_the_start(
    kind: str, double: HttpDouble, server: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        async with loaded(kind, double, **server):
            pass
    assert said in str(caught.value)
    assert double.url in str(caught.value)


async def test_a_wrong_url_is_waited_for_and_then_named_with_the_remedy() -> None:
    engine = engine_of("openai", f"http://127.0.0.1:{free_port()}", start_timeout_seconds=0.1)
    with pytest.raises(EngineUnreachableError, match=r"server\.urls"):
        await engine.load()
    await engine.close()


async def test_a_port_that_speaks_no_http_is_a_wrong_server() -> None:
    async def chatter(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    engine = engine_of("openai", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(WrongServerError, match="speaks no HTTP"):
        await engine.load()
    await engine.close()
    server.close()


def test_a_key_that_is_not_there_is_a_wrong_configuration() -> None:
    settings = {"urls": ["http://a/v1"], "api_key_env": "KEY_OF_A"}
    model = ModelSettings(id="m", engine="openai", server=settings)
    with pytest.raises(ConfigError, match="KEY_OF_A"):
        make_engine(model, environment={})


async def test_the_key_is_sent_and_nothing_else() -> None:
    double = openai_double()
    async with running(double):
        settings = {"urls": [f"{double.url}/v1"], "api_key_env": "KEY_OF_A"}
        model = ModelSettings(id="m", engine="openai", context_window_tokens=256, server=settings)
        engine = make_engine(model, environment={"KEY_OF_A": "k"})
        await engine.load()
        await answer_of(engine)
        await engine.close()
    assert {exchange.headers["authorization"] for exchange in double.seen} == {"Bearer k"}
