"""Hugging Face's text-generation-inference, through its native streaming endpoint."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.errors import (
    HfHubHTTPError,
    OverloadedError,
    TextGenerationError,
    ValidationError,
)

from services.core.errors import (
    BrokenStreamError,
    FieldViolation,
    InvalidRequestError,
    MessPlusError,
    ServerBusyError,
    UnknownServerModelError,
    WrongServerError,
)
from services.worker.adapters.server_http import (
    DEFAULT_RETRY_SECONDS,
    ask,
    http_client,
    shown,
    status_error,
    transport_error,
)
from services.worker.adapters.server_metrics import read_load
from services.worker.adapters.tgi_chat import KIND, TgiChat
from services.worker.adapters.tgi_stream import TgiReader
from services.worker.generation import EngineFinished, GenerationTask, Sampling, TextDelta
from services.worker.ports import ServerFacts, ServerLoad, WorkMeter, does_not_fit
from services.worker.steps import StepTier


class TgiServers:
    """`ServerClient` for TGI.

    Args:
        model: the id that they must serve; empty: whatever they have.
        api_key: empty where they need none.
        connect_timeout_seconds: until a connection stands.
        context_window_tokens: prompt and answer together, at most.

    """

    step_tier = StepTier.TOKEN_TIMES

    def __init__(
        self, model: str, api_key: str, connect_timeout_seconds: float, context_window_tokens: int
    ) -> None:
        self._wanted, self._window = model, context_window_tokens
        # Without a token the library would send the one that somebody logged in with here.
        self._token = api_key or "none"
        self._headers = {"Authorization": f"Bearer {self._token}"}
        self._http = http_client(connect_timeout_seconds)
        self._chats: dict[str, TgiChat] = {}
        _share_tls(connect_timeout_seconds)

    async def close(self) -> None:
        """See ServerClient."""
        await self._http.aclose()

    async def probe(self, url: str) -> ServerFacts:
        """See ServerClient. Reads `/info`."""
        info = await ask(self._http, url, "/info", KIND, self._headers)
        limit, model = info.get("max_total_tokens"), info.get("model_id")
        if not isinstance(limit, int) or not isinstance(model, str):
            raise WrongServerError(url, KIND, "GET /info names no model_id with max_total_tokens")
        if self._wanted not in ("", model):
            raise UnknownServerModelError(url, self._wanted, (model,))
        self._chats[url] = await TgiChat.of(self._http, url, self._headers)
        return ServerFacts(model, limit, str(info.get("version", "")))

    async def load(self, url: str) -> ServerLoad | None:
        """See ServerClient."""
        return await read_load(self._http, url, self._headers)

    async def generate(
        self, url: str, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """See ServerClient."""
        prompt = await self._chats[url].prompt(task.messages)
        room = self._window - prompt.tokens
        if room <= 0:
            raise does_not_fit(prompt.tokens, self._window)
        reader = TgiReader(url, meter, prompt.tokens, task.sampling.stop)
        options = _options(task.sampling, room)
        try:
            async with _tokens(f"{url}/generate_stream", self._token, prompt.text, options) as tokens:
                async for token in tokens:
                    if (delta := reader.read(token)) is not None:
                        yield delta
        except (TextGenerationError, HfHubHTTPError) as error:
            raise _error(url, error, [prompt.text, *(m.content for m in task.messages)]) from None
        except httpx2.HTTPError as error:
            raise transport_error(url, error) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenStreamError(url, f"an event is not understood ({type(error).__name__})") from None
        for event in reader.finish():
            yield event


def _share_tls(connect_timeout_seconds: float) -> None:
    """Lets the library make its HTTP clients with one TLS context: making it takes 30 ms each time."""
    context = ssl.create_default_context()
    timeout = httpx2.Timeout(None, connect=connect_timeout_seconds)
    hooks = {"response": [_read_refusal]}
    set_async_client_factory(lambda: httpx2.AsyncClient(verify=context, timeout=timeout, event_hooks=hooks))


async def _read_refusal(response: httpx2.Response) -> None:
    """Reads an error's body, which the library cannot do once it is taken for a stream."""
    if response.is_error:
        await response.aread()


@asynccontextmanager
async def _tokens(
    endpoint: str, token: str, prompt: str, options: dict[str, Any]
) -> AsyncIterator[AsyncIterator[Any]]:
    """The stream of one generation.

    A client of its own for each: the library keeps the connection of a stream until its client is closed,
    and closing it is what stops the server.
    """
    client = AsyncInferenceClient(base_url=endpoint, token=token)
    try:
        stream: Any = await client.text_generation(prompt, details=True, stream=True, **options)
        async with aclosing(stream):
            yield stream
    finally:
        await client.close()  # type: ignore[no-untyped-call]


def _options(sampling: Sampling, room_tokens: int) -> dict[str, Any]:
    """TGI's parameters. Raises InvalidRequestError for what it does not have."""
    if sampling.presence_penalty:
        found = f"is {sampling.presence_penalty:g}; must be 0: engine tgi has no such parameter"
        raise InvalidRequestError([FieldViolation("sampling.presence_penalty", found)])
    options: dict[str, Any] = {
        "max_new_tokens": min(sampling.max_tokens, room_tokens),
        "do_sample": sampling.temperature > 0,
        "stop": list(sampling.stop) or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "top_k": sampling.top_k or None,
        "seed": sampling.seed,
    }
    if sampling.temperature > 0:
        options["temperature"] = sampling.temperature
        options["top_p"] = sampling.top_p if sampling.top_p < 1 else None  # 1 is refused there
    return options


def _error(url: str, error: TextGenerationError | HfHubHTTPError, texts: list[str]) -> MessPlusError:
    """What the library's error means; that of a status is its cause where the server named a kind."""
    refused = error if isinstance(error, HfHubHTTPError) else error.__cause__
    if isinstance(refused, HfHubHTTPError) and refused.response is not None:
        response = refused.response
        message = str(error) if error is not refused else refused.server_message or ""
        return status_error(url, response.status_code, response.headers, message, texts)
    if isinstance(error, OverloadedError):
        return ServerBusyError(url, httpx2.codes.TOO_MANY_REQUESTS, DEFAULT_RETRY_SECONDS)
    said = shown(str(error), texts)
    if isinstance(error, ValidationError):
        return InvalidRequestError([FieldViolation("prompt", f"refused by the server: {said}")])
    return BrokenStreamError(url, said)
