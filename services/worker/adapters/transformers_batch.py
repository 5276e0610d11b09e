"""Many generations at once on one model: transformers' continuous batching."""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from services.core.errors import EngineError
from services.worker.adapters.transformers_model import LoadedModel
from services.worker.generation import Sampling

PREFILL_CHUNK_TOKENS = 128
"""On a CPU; a GPU takes what its memory allows."""
PAGE_TOKENS = 32
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.001
_log = logging.getLogger(__name__)


class ContinuousBatch:
    """Runs generations in one batch that they join and leave between two steps.

    Its sampling is per request but its random generator is not, so it takes no seeds.
    """

    def __init__(self, loaded: LoadedModel, slots: int, context_window_tokens: int) -> None:
        self._loaded = loaded
        self._manager: Any = loaded.model.init_continuous_batching(
            generation_config=GenerationConfig(
                do_sample=True, temperature=1.5, top_k=50, top_p=0.5, max_new_tokens=context_window_tokens
            ),
            continuous_batching_config=_config(
                loaded.model.device.type == "cuda", slots, context_window_tokens
            ),
        )
        self._manager.start()

    @property
    def runs(self) -> bool:
        """Whether its thread is alive; it ends for good with an error of the device."""
        return bool(self._manager.is_running())

    async def close(self) -> None:
        """Ends its thread; generations that run are failed."""
        await asyncio.to_thread(self._manager.stop, timeout=_STOP_SECONDS, hard_stop=True)

    async def tokens(
        self, name: str, prompt: Sequence[int], sampling: Sampling, limit: int
    ) -> AsyncGenerator[list[int], None]:
        """New tokens as they come, up to `limit` or a stop token, which is the last one.

        `name` is unique. Closing it takes the generation out of the batch, and returns when it is out.
        """
        results = self._join(name, prompt, sampling, limit)
        done, finished = 0, False
        try:
            while not finished:
                result = await results.get()
                if result.error is not None:
                    raise EngineError(f"transformers failed: {str(result.error)[:500]}")
                finished = result.is_finished()
                new = result.generated_tokens[done:]
                done += len(new)
                if new:
                    yield [int(token) for token in new]
        finally:
            if not finished:
                await self._leave(name)

    def _join(self, name: str, prompt: Sequence[int], sampling: Sampling, limit: int) -> "asyncio.Queue[Any]":
        """Adds a generation to the batch; its results come in the queue."""
        results: asyncio.Queue[Any] = asyncio.Queue()
        self._manager.register_result_handler(name, results.put_nowait)
        taken = self._manager.add_request(
            list(prompt),
            request_id=name,
            max_new_tokens=limit,
            streaming=True,
            eos_token_id=list(self._loaded.stop_ids) or -1,
            **_processors(sampling),
        )
        if taken is None:
            raise EngineError("transformers' batch has stopped: the worker's log says why, restart it")
        return results

    async def _leave(self, name: str) -> None:
        """Cancels, and waits until the loop has heard it, which the library tells nobody."""
        self._manager.cancel_request(name)
        while self._manager.is_running() and self._knows(name):  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(_POLL_SECONDS)
        self._manager.output_router.result_handlers.pop(name, None)

    def _knows(self, name: str) -> bool:
        scheduler = self._manager.batch_processor.scheduler
        known = name in scheduler.active_requests or name in scheduler.waiting_requests
        return known or not (self._manager.cancel_queue.empty() and self._manager.input_queue.empty())


def _config(on_gpu: bool, slots: int, context_window_tokens: int) -> ContinuousBatchingConfig:
    """Without prefix sharing: how much of a prompt came from it is told nobody, and joules depend on it."""
    config = ContinuousBatchingConfig(
        allow_block_sharing=False, per_request_processors=True, max_requests_per_batch=slots
    )
    if not on_gpu:
        config.page_size, config.max_batch_tokens = PAGE_TOKENS, max(PREFILL_CHUNK_TOKENS, slots)
        config.num_blocks = slots * math.ceil(context_window_tokens / PAGE_TOKENS) + 1
        config.auto_switch_to_flash = False
    return config


def _processors(sampling: Sampling) -> dict[str, Any]:
    """At temperature 0 the best token alone is left to draw from."""
    if not sampling.temperature:
        return {"temperature": 1.0, "top_k": 1, "top_p": 1.0}
    every = 1_000_000
    return {
        "temperature": float(sampling.temperature),
        "top_k": sampling.top_k or every,
        "top_p": float(sampling.top_p),
    }
