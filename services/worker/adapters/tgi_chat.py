"""TGI's chat template: from messages to the prompt that its `/generate_stream` takes.

`/generate_stream` knows no messages, and puts the tokenizer's special tokens before every prompt.
`/chat_tokenize` gives the prompt as the model's template writes it, which may begin with the same tokens:
these are cut off, else the model would see them twice (docs/adr/0011-engines.md).
"""

from dataclasses import dataclass
from typing import Any

import httpx2

from services.core.errors import EngineError, InvalidRequestError, WrongServerError
from services.worker.adapters.server_http import ask
from services.worker.generation import Message

KIND = "text-generation-inference server"
_SAMPLE = (Message("user", "x"),)


@dataclass(frozen=True, slots=True)
class TgiPrompt:
    """A prompt for `/generate_stream`, and the tokens that the server makes of it."""

    text: str
    tokens: int


class TgiChat:
    """The template of one server's model; `surplus` is what begins a prompt there but must not."""

    def __init__(self, http: httpx2.AsyncClient, url: str, headers: dict[str, str], surplus: str) -> None:
        self._http, self._url, self._headers, self._surplus = http, url, headers, surplus

    @classmethod
    async def of(cls, http: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> "TgiChat":
        """Finds out what the server adds to a prompt. Raises EngineError where its model has no template."""
        try:
            text, chat = await _templated(http, url, headers, _SAMPLE)
        except InvalidRequestError as error:
            remedy = "serve a model that was tuned for chat, or give the server a --tokenizer-config-path"
            raise EngineError(f"{url} cannot template a chat ({error}): {remedy}") from None
        plain = await _plain_tokens(http, url, headers, text)
        doubled = len(plain) > len(chat) > 0 and plain[0]["id"] == plain[1]["id"] == chat[0]["id"]
        return cls(http, url, headers, str(chat[0]["text"]) if doubled else "")

    async def prompt(self, messages: tuple[Message, ...]) -> TgiPrompt:
        """Raises EngineError, or InvalidRequestError where the template refuses the messages."""
        text, tokens = await _templated(self._http, self._url, self._headers, messages)
        return TgiPrompt(text.removeprefix(self._surplus), len(tokens))


async def _templated(
    http: httpx2.AsyncClient, url: str, headers: dict[str, str], messages: tuple[Message, ...]
) -> tuple[str, list[dict[str, Any]]]:
    body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
    texts = [message.content for message in messages]
    answer = await ask(http, url, "/chat_tokenize", KIND, headers, body, texts)
    text, tokens = answer.get("templated_text"), answer.get("tokenize_response")
    if not isinstance(text, str) or not isinstance(tokens, list):
        raise WrongServerError(url, KIND, "POST /chat_tokenize answered no templated text")
    return text, tokens


async def _plain_tokens(
    http: httpx2.AsyncClient, url: str, headers: dict[str, str], text: str
) -> list[dict[str, Any]]:
    """Tokens of a prompt as `/generate_stream` will see it."""
    response = await http.post(f"{url}/tokenize", json={"inputs": text}, headers=headers)
    found = response.json() if response.is_success else None
    if not isinstance(found, list):
        raise WrongServerError(url, KIND, f"POST /tokenize answered {response.status_code}")
    return found
