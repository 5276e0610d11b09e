"""Any OpenAI-compatible endpoint, by its published client."""

import importlib
import time
from typing import Any

from cli.failure import config_error
from cli.measure.endpoint import EndpointError
from planner.replies import Arrival, Reply

_CALL_SECONDS = 600.0


class OpenAiEndpoint:
    """One model of an endpoint; temperature 0.

    Endpoints that know `ignore_eos` (vLLM, SGLang, llama.cpp) are told to go on to the last token; one that
    refuses it is asked without.

    Args:
        base_url: for example "http://localhost:8000/v1".
        model: its name there.
        api_key: empty where the endpoint needs none.

    Raises ConfigError where the client is not installed.

    """

    def __init__(self, base_url: str, model: str, api_key: str) -> None:
        self._base_url, self._model = base_url, model
        self._ignore_eos = True
        try:
            self._openai: Any = importlib.import_module("openai")
        except ModuleNotFoundError:
            remedy = "needs the package openai: install messplus[planner]"
            raise config_error("profile", "--endpoint", base_url, remedy) from None
        # Its own retries would be part of the measured time.
        self._client = self._openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=_CALL_SECONDS
        )

    async def answer(self, prompt: str, max_tokens: int) -> Reply:
        """See Endpoint."""
        try:
            return await self._ask(prompt, max_tokens)
        except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as error:
            if not self._ignore_eos:
                raise self._failed(error) from error
        except self._openai.OpenAIError as error:
            raise self._failed(error) from error
        self._ignore_eos = False
        return await self.answer(prompt, max_tokens)

    async def close(self) -> None:
        """See Endpoint."""
        await self._client.close()

    async def _ask(self, prompt: str, max_tokens: int) -> Reply:
        sent = time.monotonic()
        stream = await self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=max_tokens,
            temperature=0.0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True} if self._ignore_eos else None,
        )
        arrivals: list[Arrival] = []
        usage = None
        async for chunk in stream:
            usage = chunk.usage or usage
            if chunk.choices and chunk.choices[0].delta.content:
                arrivals.append(Arrival(time.monotonic(), 1))
        return self._reply(sent, time.monotonic(), usage, tuple(arrivals))

    def _reply(self, sent: float, ended: float, usage: Any, arrivals: tuple[Arrival, ...]) -> Reply:
        if usage is None:
            remedy = "it must support stream_options.include_usage"
            raise EndpointError(f"the endpoint {self._base_url} reports no token counts: {remedy}")
        details = getattr(usage, "prompt_tokens_details", None)
        cached = getattr(details, "cached_tokens", None) or 0
        return Reply("", sent, ended, usage.prompt_tokens - cached, usage.completion_tokens, arrivals)

    def _failed(self, error: Exception) -> EndpointError:
        return EndpointError(f"the endpoint {self._base_url} did not answer for {self._model}: {error}")
