"""From TGI's token events to an engine's events."""

import time
from collections.abc import Callable, Iterator, Sequence

from huggingface_hub import TextGenerationStreamOutput

from services.core.errors import BrokenStreamError
from services.worker.generation import EngineFinished, FinishReason, TextDelta
from services.worker.ports import WorkMeter
from services.worker.stop_filter import StopFilter

_REASONS = {
    "length": FinishReason.LENGTH,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
}


class TgiReader:
    """Reads one generation's events, one per token, and tells `meter` what was computed."""

    def __init__(
        self,
        url: str,
        meter: WorkMeter,
        prompt_tokens: int,
        stops: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._meter, self._prompt_tokens, self._clock = url, meter, prompt_tokens, clock
        self._filter = StopFilter(stops)
        self._began = clock()
        self._first: float | None = None
        self._decoded = 0
        self._reason = ""

    def read(self, event: TextGenerationStreamOutput) -> TextDelta | None:
        """What a token adds to the answer. Its text may be held back: TGI sends stop strings as well."""
        if self._first is None:
            self._first = self._clock()
            self._meter.worked(self._prompt_tokens, 0, self._prompt_tokens)
        self._decoded += 1
        self._meter.worked(0, 1, self._prompt_tokens + self._decoded)
        if event.details is not None:
            self._reason = event.details.finish_reason
        return TextDelta("" if event.token.special else self._filter.push(event.token.text), 1)

    def finish(self) -> Iterator[TextDelta | EngineFinished]:
        """The end of the stream. Raises BrokenStreamError where the server did not say why it ended."""
        if self._first is None or self._reason not in _REASONS:
            found = f"finish reason {self._reason!r}" if self._reason else "no finish reason"
            raise BrokenStreamError(self._url, f"{found} after {self._decoded} tokens")
        if rest := self._filter.flush():
            yield TextDelta(rest, 0)
        times = (self._first - self._began, self._clock() - self._first)
        yield EngineFinished(_REASONS[self._reason], self._prompt_tokens, 0, self._decoded, *times)
