"""Any server of the OpenAI API: vLLM, SGLang, llama.cpp's, TGI's messages API, hosted ones."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI, AsyncStream

from services.core.errors import (
    BrokenStreamError,
    MessPlusError,
    UnknownServerModelError,
    WrongServerError,
)
from services.worker.adapters.openai_chunks import ChunkReader
from services.worker.adapters.openai_dialects import Dialect, context_window_of, dialect_of
from services.worker.adapters.server_events import event_data
from services.worker.adapters.server_http import ask, http_client, shown, status_error, transport_error
from services.worker.adapters.server_metrics import read_load
from services.worker.generation import EngineFinished, GenerationTask, TextDelta
from services.worker.ports import ServerFacts, ServerLoad, WorkMeter
from services.worker.steps import StepTier

_KIND = "server of the OpenAI API"
_END = b"[DONE]"


class OpenAiServers:
    """`ServerClient` for the OpenAI API.

    Args:
        model: its name there; empty: the only one they have.
        api_key: empty where they need none.
        connect_timeout_seconds: until a connection stands.

    """

    def __init__(self, model: str, api_key: str, connect_timeout_seconds: float) -> None:
        self._wanted, self._api_key = model, api_key or "none"
        self._http = http_client(connect_timeout_seconds)
        self._headers = {"Authorization": f"Bearer {self._api_key}"}
        self._clients: dict[str, AsyncOpenAI] = {}
        self._known: dict[str, tuple[str, Dialect]] = {}

    @property
    def step_tier(self) -> StepTier:
        """See ServerClient."""
        plain = any(dialect.step_tier is StepTier.REQUEST_TIMES for _, dialect in self._known.values())
        return StepTier.REQUEST_TIMES if plain else StepTier.TOKEN_TIMES

    async def close(self) -> None:
        """See ServerClient."""
        await self._http.aclose()

    async def probe(self, url: str) -> ServerFacts:
        """See ServerClient. Reads the list of models."""
        answer = await ask(self._http, url, "/models", _KIND, self._headers)
        entries = answer.get("data")
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "id" in e for e in entries):
            raise WrongServerError(url, _KIND, "GET /models answered no list of models")
        model = self._chosen(url, {str(entry["id"]): entry for entry in entries})
        dialect = dialect_of(model)
        self._known[url] = (str(model["id"]), dialect)
        if url not in self._clients:
            # It tries once: when to try again, and where, is decided where all replicas are known.
            self._clients[url] = AsyncOpenAI(
                base_url=url, api_key=self._api_key, http_client=self._http, max_retries=0
            )
        return ServerFacts(str(model["id"]), context_window_of(model), dialect.name)

    def _chosen(self, url: str, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if self._wanted in entries:
            return entries[self._wanted]
        if not self._wanted and len(entries) == 1:
            return next(iter(entries.values()))
        raise UnknownServerModelError(url, self._wanted, tuple(entries))

    async def load(self, url: str) -> ServerLoad | None:
        """See ServerClient. The page of metrics stands beside the API, not under its path."""
        return await read_load(self._http, url.removesuffix("/v1"), self._headers)

    async def generate(
        self, url: str, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """See ServerClient."""
        reader = ChunkReader(url, meter)
        try:
            async with (
                aclosing(await self._answer(url, task)) as answer,
                aclosing(event_data(url, answer.aiter_bytes())) as events,
            ):
                async for data in events:
                    if data == _END:
                        continue  # reads on to the end of the body, so that the connection can be used again
                    chunk = json.loads(data)
                    if error := chunk.get("error"):
                        raise BrokenStreamError(url, shown(_message(error), _texts(task)))
                    if (delta := reader.read(chunk)) is not None:
                        yield delta
            for event in reader.finish():
                yield event
        except APIError as error:
            raise self._error(url, error, task) from None
        except httpx2.HTTPError as error:
            raise transport_error(url, error) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenStreamError(url, f"a chunk is not understood ({type(error).__name__})") from None

    async def _answer(self, url: str, task: GenerationTask) -> httpx2.Response:
        """The answer as it begins; its events are read here, for the library takes long over each."""
        model, dialect = self._known[url]
        sampling = task.sampling
        fields: dict[str, Any] = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in task.messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "stream": True,
            "stream_options": dict(dialect.stream_options),
            **dialect.fields(sampling),
        }
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            fields["seed"] = sampling.seed % (1 << 31)  # servers hold it in 32 or 64 bits, some with a sign
        stream = await self._clients[url].post(
            "/chat/completions", cast_to=object, body=fields, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response

    def _error(self, url: str, error: APIError, task: GenerationTask) -> MessPlusError:
        texts = _texts(task)
        if isinstance(error, APIStatusError):
            if error.status_code == httpx2.codes.NOT_FOUND:
                return UnknownServerModelError(url, self._known[url][0], ())
            return status_error(url, error.status_code, error.response.headers, _message(error.body), texts)
        if isinstance(error, APIConnectionError) and isinstance(error.__cause__, httpx2.HTTPError):
            return transport_error(url, error.__cause__)
        return BrokenStreamError(url, shown(error.message, texts))


def _texts(task: GenerationTask) -> list[str]:
    """What no error repeats."""
    return [message.content for message in task.messages]


def _message(error: object) -> str:
    """The server's own words."""
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
