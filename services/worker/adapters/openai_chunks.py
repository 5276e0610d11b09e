"""From the chunks of an OpenAI-compatible server to an engine's events."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from services.core.errors import BrokenStreamError
from services.worker.generation import EngineFinished, FinishReason, TextDelta
from services.worker.ports import WorkMeter

_REASONS = {"length": FinishReason.LENGTH}


class ChunkReader:
    """Reads one generation's chunks and tells `meter` what was computed.

    Tokens come from the usage that each chunk has (vLLM, SGLang) or its timings (llama.cpp). Where a
    server counts only at the end, a chunk with text stands for one token until then.
    """

    def __init__(self, url: str, meter: WorkMeter, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._meter, self._clock = url, meter, clock
        self._began = clock()
        self._first: float | None = None
        self._prompt = self._cached = self._prefilled = self._decoded = 0
        self._usage: dict[str, Any] | None = None
        self._reason: FinishReason | None = None

    def read(self, chunk: Any) -> TextDelta | None:
        """What a chunk (its JSON) adds to the answer; None if nothing.

        Raises KeyError, TypeError, ValueError or AttributeError where it is no such chunk.
        """
        text, usage = self._text(chunk), chunk.get("usage")
        self._usage = usage or self._usage
        if (progress := chunk.get("prompt_progress")) is not None:
            self._prefill(int(progress["cache"]), int(progress["processed"]), int(progress["total"]))
        if (timings := chunk.get("timings")) is not None:
            total = int(timings["predicted_n"])
        elif usage is not None:
            total = int(usage["completion_tokens"])
            self._prefill_all(usage)
        else:
            total = self._decoded + bool(text)
        return self._delta(text, total)

    def finish(self) -> Iterator[TextDelta | EngineFinished]:
        """The end of the stream: tokens that no chunk told, then the account. Raises BrokenStreamError."""
        if self._reason is None:
            raise BrokenStreamError(self._url, f"no finish reason after {self._decoded} tokens")
        if self._usage is None:
            raise BrokenStreamError(self._url, "no usage, though stream_options.include_usage asked for it")
        self._prefill_all(self._usage)
        if (last := self._delta("", int(self._usage["completion_tokens"]))) is not None:
            yield last
        now = self._clock()
        first = now if self._first is None else self._first
        times = (first - self._began, now - first)
        yield EngineFinished(self._reason, self._prompt, self._cached, self._decoded, *times)

    def _text(self, chunk: Any) -> str:
        if not (choices := chunk.get("choices")):
            return ""
        choice = choices[0]
        if (reason := choice.get("finish_reason")) is not None:
            self._reason = _REASONS.get(reason, FinishReason.STOP)
        return str((choice.get("delta") or {}).get("content") or "")

    def _prefill(self, cached: int, processed: int, prompt: int) -> None:
        """Prompt tokens that the server has worked through by now."""
        self._prompt, self._cached = prompt, cached
        computed = processed - cached - self._prefilled
        if computed > 0:
            self._prefilled += computed
            self._meter.worked(computed, 0, processed)

    def _prefill_all(self, usage: dict[str, Any]) -> None:
        prompt, details = int(usage["prompt_tokens"]), usage.get("prompt_tokens_details") or {}
        cached = min(int(details.get("cached_tokens") or 0), prompt - self._prefilled)
        self._prefill(cached, prompt, prompt)

    def _delta(self, text: str, total: int) -> TextDelta | None:
        tokens = max(0, total - self._decoded)
        if tokens:
            self._decoded += tokens
            self._meter.worked(0, tokens, self._prompt + self._decoded)
        if (text or tokens) and self._first is None:
            self._first = self._clock()
        return TextDelta(text, tokens) if text or tokens else None
