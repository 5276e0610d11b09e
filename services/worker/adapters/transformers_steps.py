"""One generation step by step, for what continuous batching cannot do: draw with a seed of its own."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from threading import Event
from typing import Any

import torch
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from services.core.errors import EngineError
from services.worker.adapters.transformers_model import LoadedModel
from services.worker.generation import Sampling

PREFILL_CHUNK_TOKENS = 128
"""Prompt tokens per step: it can be cancelled between two of them."""
_SEEDS = 1 << 63


class SteppedGenerations:
    """Runs each generation in a thread of its own, outside of any batch."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    async def tokens(
        self, prompt: Sequence[int], sampling: Sampling, limit: int
    ) -> AsyncGenerator[list[int], None]:
        """New tokens as they come, as `ContinuousBatch.tokens`."""
        loop, cancelled = asyncio.get_running_loop(), Event()
        results: asyncio.Queue[int | Exception | None] = asyncio.Queue()

        def tell(result: int | Exception | None) -> None:
            loop.call_soon_threadsafe(results.put_nowait, result)

        def run() -> None:
            try:
                for token in self._steps(prompt, sampling, limit, cancelled):
                    tell(token)
                tell(None)
            except Exception as error:
                tell(error)

        thread = asyncio.ensure_future(asyncio.to_thread(run))
        try:
            while (result := await results.get()) is not None:
                if isinstance(result, Exception):
                    raise EngineError(f"transformers failed: {str(result)[:500]}")
                yield [result]
        finally:
            cancelled.set()
            await asyncio.wait({thread})

    def _steps(self, prompt: Sequence[int], sampling: Sampling, limit: int, cancelled: Event) -> Any:
        """Yields tokens; ends early once cancelled."""
        model = self._loaded.model
        draw = _Draw(sampling, model.device)
        cache, seen = DynamicCache(config=model.config), list(prompt)
        pieces = [seen[i : i + PREFILL_CHUNK_TOKENS] for i in range(0, len(seen), PREFILL_CHUNK_TOKENS)]
        for _ in range(limit):
            for piece in pieces:
                if cancelled.is_set():
                    return
                with torch.inference_mode():
                    ids = torch.tensor([piece], device=model.device)
                    output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = draw.token(seen, output.logits[:, -1, :].float())
            yield token
            if token in self._loaded.stop_ids:
                return
            seen.append(token)
            pieces = [[token]]


class _Draw:
    """Draws tokens from a generator of its own."""

    def __init__(self, sampling: Sampling, device: Any) -> None:
        self._generator = torch.Generator(device=device)
        if sampling.seed is not None:
            self._generator.manual_seed(sampling.seed % _SEEDS)
        self._processors = LogitsProcessorList([TemperatureLogitsWarper(float(sampling.temperature))])
        if sampling.top_k:
            self._processors.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self._processors.append(TopPLogitsWarper(float(sampling.top_p)))

    def token(self, seen: Sequence[int], logits: Any) -> int:
        """The next token after `seen`; logits of shape (1, vocabulary)."""
        scores = self._processors(torch.tensor([seen], device=logits.device), logits)
        probabilities = torch.softmax(scores, dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=self._generator).item())
