"""A server that follows TGI's published API; not TGI.

It answers `/info`, `/metrics`, `/tokenize`, `/chat_tokenize` and `/generate_stream` with the fields, statuses
and error kinds of text-generation-inference 3.3 (its OpenAPI document and router), over a model that repeats
the prompt's words. As there, stop strings are sent before the stream ends, `</s>` is a special
token, and `/generate_stream` puts `<s>` before every prompt while the chat template begins with it as well.
"""

import asyncio
import re
from typing import Any

from tests.contract.http_double import Exchange, HttpDouble

_TOKEN = re.compile(r"</?s>|\[/?\w+\]|[^\s<\[]+\s*|\s+|.")
MODEL_ID = "echo/echo-instruct"


class TgiDouble(HttpDouble):
    """Generates at `seconds_per_token`; refuses beyond `max_concurrent_requests`."""

    def __init__(self, max_total_tokens: int, seconds_per_token: float = 0.005) -> None:
        routes = {
            "GET /info": self.info,
            "GET /metrics": self.metrics,
            "POST /tokenize": self.tokenize,
            "POST /chat_tokenize": self.chat_tokenize,
            "POST /generate_stream": self.generate_stream,
        }
        super().__init__(routes)
        self.max_total_tokens, self.seconds_per_token = max_total_tokens, seconds_per_token
        self.max_concurrent_requests = 8
        self.active = self.generated = 0
        self.prompts: list[list[str]] = []

    async def info(self, exchange: Exchange) -> None:
        await exchange.answer(
            {
                "model_id": MODEL_ID,
                "model_sha": None,
                "model_pipeline_tag": "text-generation",
                "max_concurrent_requests": self.max_concurrent_requests,
                "max_best_of": 2,
                "max_stop_sequences": 4,
                "max_input_tokens": self.max_total_tokens - 1,
                "max_total_tokens": self.max_total_tokens,
                "validation_workers": 2,
                "max_client_batch_size": 4,
                "router": "text-generation-router",
                "version": "3.3.6",
            }
        )

    async def metrics(self, exchange: Exchange) -> None:
        page = (
            f"# TYPE tgi_batch_current_size gauge\ntgi_batch_current_size {self.active}\ntgi_queue_size 0\n"
        )
        await exchange.answer(page.encode())

    async def tokenize(self, exchange: Exchange) -> None:
        await exchange.answer(_tokens("<s>" + exchange.json["inputs"]))

    async def chat_tokenize(self, exchange: Exchange) -> None:
        text = "<s>" + "".join(f"[{m['role']}]{m['content']}[/end]" for m in exchange.json["messages"])
        await exchange.answer({"tokenize_response": _tokens(text), "templated_text": text})

    async def generate_stream(self, exchange: Exchange) -> None:
        request, wanted = exchange.json, exchange.json["parameters"]
        prompt = _TOKEN.findall("<s>" + request["inputs"])
        self.prompts.append(prompt)
        if len(prompt) + wanted["max_new_tokens"] > self.max_total_tokens:
            found = f"`inputs` tokens + `max_new_tokens` must be <= {self.max_total_tokens}"
            await exchange.answer({"error": found, "error_type": "validation"}, 422)
        elif self.active >= self.max_concurrent_requests:
            await exchange.answer({"error": "Model is overloaded", "error_type": "overloaded"}, 429)
        else:
            self.active += 1
            try:
                await self._generate(exchange, prompt, wanted)
            finally:
                self.active -= 1

    async def _generate(self, exchange: Exchange, prompt: list[str], wanted: dict[str, Any]) -> None:
        await exchange.begin_events()
        text = ""
        answer = [*_TOKEN.findall(_last_turn("".join(prompt))), "</s>"]
        for index, token in enumerate(answer[: wanted["max_new_tokens"]], start=1):
            await asyncio.sleep(self.seconds_per_token)
            if exchange.gone:
                return
            self.generated += 1
            text += token
            reason = _reason(token, text, wanted.get("stop") or [], index == wanted["max_new_tokens"])
            await exchange.event(_event(index, token, text, reason, len(prompt)))
            if reason:
                break
        await exchange.end_events()


def _last_turn(prompt: str) -> str:
    return prompt.rsplit("]", 2)[-2].removesuffix("[/end")


def _reason(token: str, text: str, stops: list[str], full: bool) -> str | None:
    if token == "</s>":
        return "eos_token"
    if any(text.endswith(stop) or stop in text for stop in stops):
        return "stop_sequence"
    return "length" if full else None


def _event(index: int, token: str, text: str, reason: str | None, prompt_tokens: int) -> dict[str, Any]:
    details = {
        "finish_reason": reason,
        "generated_tokens": index,
        "seed": None,
        "input_length": prompt_tokens,
    }
    return {
        "index": index,
        "token": {"id": _id(token), "text": token, "logprob": -0.1, "special": token == "</s>"},
        "generated_text": text if reason else None,
        "details": details if reason else None,
    }


def _tokens(text: str) -> list[dict[str, Any]]:
    return [
        {"id": _id(m[0]), "text": m[0], "start": m.start(), "stop": m.end()} for m in _TOKEN.finditer(text)
    ]


def _id(token: str) -> int:
    return 1 if token == "<s>" else 2 if token == "</s>" else 100 + sum(token.encode())
