"""torch in this process, for a user without a server: any chat model that transformers can load."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version
from itertools import count

from services.core.errors import EngineError, FieldViolation, InvalidRequestError
from services.worker.adapters.transformers_batch import ContinuousBatch
from services.worker.adapters.transformers_model import LoadedModel, load_model
from services.worker.adapters.transformers_steps import SteppedGenerations
from services.worker.generation import (
    EngineFinished,
    EngineInfo,
    FinishReason,
    GenerationTask,
    Sampling,
    TextDelta,
)
from services.worker.ports import WorkMeter, does_not_fit
from services.worker.steps import StepTier
from services.worker.stop_filter import StopFilter
from services.worker.threads import in_daemon_thread


class TransformersEngine:
    """`Engine` for a local directory or a repository of the hub, batched continuously."""

    step_tier = StepTier.TOKEN_TIMES
    server_load = None

    def __init__(self, source: str, context_window_tokens: int, slots: int, threads: int) -> None:
        release = version("transformers")
        self.info = EngineInfo("transformers", release, source, "", context_window_tokens, slots)
        self._threads, self._names, self.active = threads, count(), 0
        self._loaded: LoadedModel | None = None
        self._batch: ContinuousBatch | None = None

    @property
    def available(self) -> bool:
        """See Engine."""
        return self._batch is not None and self._batch.runs

    async def load(self) -> None:
        """See Engine. Raises EngineError, or ConfigError for a context that the model does not have."""
        source, window = self.info.model_name, self.info.context_window_tokens
        loaded = await in_daemon_thread(lambda: load_model(source, self._threads, window))
        try:
            self._batch = ContinuousBatch(loaded, self.info.slots, window)
        except (ValueError, AttributeError, NotImplementedError) as error:
            raise EngineError(f"transformers cannot batch {source} continuously: {error}") from error
        self._loaded = loaded

    async def close(self) -> None:
        """See Engine."""
        if self._batch is not None:
            await self._batch.close()

    async def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """See Engine."""
        if self._loaded is None:
            raise EngineError("the model is not loaded")
        prompt = _prompt(self._loaded, task)
        room = self.info.context_window_tokens - len(prompt)
        if room <= 0:
            raise does_not_fit(len(prompt), self.info.context_window_tokens)
        limit = min(task.sampling.max_tokens, room)
        answer = _Answer(self._loaded, meter, len(prompt), task.sampling, limit)
        self.active += 1
        try:
            async with aclosing(self._tokens(self._loaded, prompt, task.sampling, limit)) as tokens:
                async for new in tokens:
                    yield answer.add(new)
                    if answer.stopped:
                        break
        finally:
            self.active -= 1
        for event in answer.finish():
            yield event

    def _tokens(
        self, loaded: LoadedModel, prompt: list[int], sampling: Sampling, limit: int
    ) -> AsyncGenerator[list[int], None]:
        if self._batch is None or (sampling.seed is not None and sampling.temperature > 0):
            return SteppedGenerations(loaded).tokens(prompt, sampling, limit)
        return self._batch.tokens(f"g{next(self._names)}", prompt, sampling, limit)


def _prompt(loaded: LoadedModel, task: GenerationTask) -> list[int]:
    """The prompt's tokens. Raises InvalidRequestError for what cannot be done with this engine."""
    for name in ("presence_penalty", "frequency_penalty"):
        if value := getattr(task.sampling, name):
            found = f"is {value:g}; must be 0: engine transformers has no such parameter"
            raise InvalidRequestError([FieldViolation(f"sampling.{name}", found)])
    try:
        return loaded.prompt_ids(task.messages)
    except Exception as error:  # a template is a program of the model's authors
        found = f"refused by the model's chat template ({type(error).__name__})"
        raise InvalidRequestError([FieldViolation("prompt", found)]) from None


class _Answer:
    """From tokens to events; tells `meter` what was computed."""

    def __init__(
        self, loaded: LoadedModel, meter: WorkMeter, prompt_tokens: int, sampling: Sampling, limit: int
    ) -> None:
        self._meter, self._prompt_tokens, self._limit = meter, prompt_tokens, limit
        self._decoder, self._filter = loaded.decoder(), StopFilter(sampling.stop)
        self._stop_ids, self._decoded, self._ended = loaded.stop_ids, 0, False
        self._began, self._first = time.monotonic(), 0.0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._filter.hit

    def add(self, tokens: list[int]) -> TextDelta:
        """The next tokens."""
        if not self._decoded:
            self._first = time.monotonic()
            self._meter.worked(self._prompt_tokens, 0, self._prompt_tokens)
        self._decoded += len(tokens)
        self._meter.worked(0, len(tokens), self._prompt_tokens + self._decoded)
        self._ended = tokens[-1] in self._stop_ids
        return TextDelta(
            "".join(self._filter.push(self._decoder.text(token)) for token in tokens), len(tokens)
        )

    def finish(self) -> list[TextDelta | EngineFinished]:
        """Text that was held back, and the account."""
        reason = FinishReason.STOP if self.stopped or self._ended else FinishReason.LENGTH
        times = (self._first - self._began, time.monotonic() - self._first)
        end = EngineFinished(reason, self._prompt_tokens, 0, self._decoded, *times)
        rest = self._filter.flush()
        return [TextDelta(rest, 0), end] if rest else [end]
