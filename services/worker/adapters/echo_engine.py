"""An engine without a model: it answers with the prompt's own words.

It is real in everything but the model (streaming, token counts, limits, cancellation), costs next to
nothing and needs no weights: for measuring the system around the engine and for trying out failures.
A token is a word with the white space behind it.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from importlib.metadata import version

from services.worker.generation import EngineFinished, EngineInfo, FinishReason, GenerationTask, TextDelta
from services.worker.ports import WorkMeter, does_not_fit
from services.worker.steps import StepTier

_TOKEN = re.compile(r"\S+\s*|\s+")


class EchoEngine:
    """Echoes the last message at `tokens_per_second` (0: as fast as it can)."""

    available = True
    step_tier = StepTier.TOKEN_TIMES
    server_load = None

    def __init__(self, context_window_tokens: int, slots: int, tokens_per_second: float = 0.0) -> None:
        self.info = EngineInfo("echo", version("messplus"), "echo", "", context_window_tokens, slots)
        self._seconds_per_token = 1 / tokens_per_second if tokens_per_second else 0.0
        self.active = 0

    async def load(self) -> None:
        """See Engine."""

    async def close(self) -> None:
        """See Engine."""

    async def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """See Engine."""
        prompt_tokens = sum(len(_TOKEN.findall(message.content)) for message in task.messages)
        if prompt_tokens >= self.info.context_window_tokens:
            raise does_not_fit(prompt_tokens, self.info.context_window_tokens)
        self.active += 1
        try:
            begun = time.monotonic()
            meter.worked(prompt_tokens, 0, prompt_tokens)
            prefilled = time.monotonic()
            answer, reason = self._answer(task, self.info.context_window_tokens - prompt_tokens)
            for done, token in enumerate(answer, start=1):
                await asyncio.sleep(self._seconds_per_token)
                meter.worked(0, 1, prompt_tokens + done)
                yield TextDelta(token, 1)
            times = (prefilled - begun, time.monotonic() - prefilled)
            yield EngineFinished(reason, prompt_tokens, 0, len(answer), *times)
        finally:
            self.active -= 1

    def _answer(self, task: GenerationTask, room_tokens: int) -> tuple[list[str], FinishReason]:
        text = task.messages[-1].content
        ends = [at for stop in task.sampling.stop if (at := text.find(stop)) >= 0]
        tokens = _TOKEN.findall(text[: min(ends, default=len(text))])
        limit = min(task.sampling.max_tokens, room_tokens)
        return tokens[:limit], FinishReason.LENGTH if len(tokens) > limit else FinishReason.STOP
