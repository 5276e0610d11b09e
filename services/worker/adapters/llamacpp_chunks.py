"""llama.cpp's chat completion format: from a task to its request, from its chunks to events."""

import json
from collections.abc import Iterator
from typing import Any

from services.core.errors import EngineError, MessPlusError
from services.worker.generation import EngineFinished, FinishReason, GenerationTask, TextDelta
from services.worker.ports import WorkMeter, does_not_fit

_RANDOM_SEED = 0xFFFF_FFFF
_FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


def request_json(task: GenerationTask) -> str:
    """The body of a streaming chat completion with usage, timings and progress of the prompt."""
    sampling = task.sampling
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in task.messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": list(sampling.stop),
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
        "return_progress": True,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed % _RANDOM_SEED  # 32 bits there, and the highest value means random
    return json.dumps(body)


class ChunkReader:
    """Turns one generation's chunks into events and tells `meter` what was computed.

    Token counts come from the chunks' timings: a token may come without text (half a character, a
    possible stop string) and its text later, with another one.
    """

    def __init__(self, meter: WorkMeter, context_window_tokens: int) -> None:
        self._meter, self._context_window_tokens = meter, context_window_tokens
        self._context_tokens = 0
        self._decoded_tokens = 0
        self._reason: FinishReason | None = None
        self.finished = False

    def read(self, chunk: dict[str, Any]) -> Iterator[TextDelta | EngineFinished]:
        """The events of a chunk. Raises InvalidRequestError or EngineError where the chunk is an error."""
        if "error" in chunk:
            raise self._error(chunk["error"])
        if progress := chunk.get("prompt_progress"):
            self._read_progress(progress)
        timings = chunk.get("timings") or {}
        text, tokens = self._text(chunk), self._new_tokens(timings)
        if tokens:
            self._context_tokens += tokens
            self._meter.worked(0, tokens, self._context_tokens)
        if text or tokens:
            yield TextDelta(text, tokens)
        if usage := chunk.get("usage"):
            self.finished = True
            yield self._finish(usage, timings)

    def _error(self, error: dict[str, Any]) -> MessPlusError:
        if error.get("type") == "exceed_context_size_error":
            return does_not_fit(int(error["n_prompt_tokens"]), self._context_window_tokens)
        return EngineError(f"llama.cpp: {error.get('message', error)}")

    def _read_progress(self, progress: dict[str, int]) -> None:
        """Counts prompt tokens since the last chunk; the first chunk tells what was cached."""
        before = max(self._context_tokens, progress["cache"])
        computed = progress["processed"] - before
        self._context_tokens = before + max(computed, 0)
        if computed > 0:
            self._meter.worked(computed, 0, self._context_tokens)

    def _text(self, chunk: dict[str, Any]) -> str:
        parts: list[str] = []
        for choice in chunk.get("choices", ()):
            self._reason = _FINISH_REASONS.get(choice.get("finish_reason") or "", self._reason)
            parts.append(choice.get("delta", {}).get("content") or "")
        return "".join(parts).encode("utf-8", "replace").decode("utf-8")

    def _new_tokens(self, timings: dict[str, Any]) -> int:
        before = self._decoded_tokens
        self._decoded_tokens = max(before, int(timings.get("predicted_n", 0)))
        return self._decoded_tokens - before

    def _finish(self, usage: dict[str, Any], timings: dict[str, Any]) -> EngineFinished:
        if self._reason is None:
            raise EngineError("llama.cpp gave no finish reason")
        return EngineFinished(
            self._reason,
            prompt_tokens=int(usage["prompt_tokens"]),
            cached_prompt_tokens=int(timings["cache_n"]),
            completion_tokens=int(usage["completion_tokens"]),
            prefill_seconds=timings["prompt_ms"] / 1000,
            decode_seconds=timings["predicted_ms"] / 1000,
        )
