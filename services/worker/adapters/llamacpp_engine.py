"""llama.cpp in this process, through the `xllamacpp` wheel: continuous batching over its slots."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

import xllamacpp

from services.core.errors import EngineError, FieldViolation, InvalidRequestError, MessPlusError
from services.worker.adapters.llamacpp_chunks import ChunkReader, request_json
from services.worker.generation import EngineFinished, EngineInfo, GenerationTask, TextDelta
from services.worker.ports import WorkMeter
from services.worker.steps import StepTier
from services.worker.threads import in_daemon_thread


class LlamacppEngine:
    """One GGUF model. It can be stopped, and other generations go on, between two steps.

    A step reads at most `prefill_chunk_tokens` of prompts. llama.cpp's library can end a step early, but its
    server does not handle such an end (it tries the rest again, in smaller steps); so how long a step may
    take is chosen by its tokens.

    One compute thread is best where several models share a machine: with more, each waits at the
    barriers of the others.
    """

    available = True
    step_tier = StepTier.TOKEN_TIMES
    server_load = None

    def __init__(
        self,
        weights: Callable[[], Path],
        weights_sha256: str,
        model_name: str,
        context_window_tokens: int,
        slots: int,
        threads: int,
        prefill_chunk_tokens: int,
    ) -> None:
        release = version("xllamacpp")
        self.info = EngineInfo("llamacpp", release, model_name, weights_sha256, context_window_tokens, slots)
        self._weights, self._compute_threads = weights, threads
        # Every generation that writes takes a token of each step: at least as many are left to prompts.
        self._step_tokens = max(prefill_chunk_tokens, 2 * slots)
        self._callers = ThreadPoolExecutor(slots, thread_name_prefix="generation")
        self._server: Any = None
        self.active = 0

    async def load(self) -> None:
        """See Engine. Fetches the weights first: `weights` blocks until they are on this machine."""
        path = await in_daemon_thread(self._weights)
        try:
            self._server = await asyncio.to_thread(xllamacpp.Server, self._parameters(path))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"llama.cpp cannot load {path}: {error}") from error

    async def close(self) -> None:
        """See Engine."""
        self._callers.shutdown(wait=True)
        self._server = None

    async def generate(
        self, task: GenerationTask, meter: WorkMeter
    ) -> AsyncGenerator[TextDelta | EngineFinished, None]:
        """See Engine. A call blocks its thread until the generation ends, so each slot has a thread."""
        loop = asyncio.get_running_loop()
        run = _Run(task, meter, self.info, loop)
        self.active += 1
        thread = loop.run_in_executor(self._callers, run.call, self._server)
        try:
            while (event := await run.events.get()) is not None:
                if isinstance(event, MessPlusError):
                    raise event
                yield event
        finally:
            run.cancelled.set()
            await asyncio.wait({thread})
            self.active -= 1

    def _parameters(self, path: Path) -> Any:
        p = xllamacpp.CommonParams()
        p.model.path = str(path)
        p.n_parallel = self.info.slots
        p.n_ctx = self.info.context_window_tokens * self.info.slots
        p.n_batch = p.n_ubatch = self._step_tokens
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = self._compute_threads
        p.cache_ram_mib = 0  # else up to 8 GiB of finished prompts are kept
        p.verbosity = 0
        # The library always opens an HTTP listener on loopback: nobody knows its port's key.
        p.port, p.n_threads_http, p.ui, p.endpoint_slots = 0, 1, False, False
        p.api_keys = [secrets.token_urlsafe(32)]
        return p


class _Run:
    """One generation, seen from the thread that llama.cpp calls back on."""

    def __init__(
        self, task: GenerationTask, meter: WorkMeter, info: EngineInfo, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.cancelled = Event()
        self.events: asyncio.Queue[TextDelta | EngineFinished | MessPlusError | None] = asyncio.Queue()
        self._request = request_json(task)
        self._reader = ChunkReader(meter, info.context_window_tokens)
        self._loop = loop

    def call(self, server: Any) -> None:
        """Blocks until the generation has ended or was cancelled."""
        try:
            if not self.cancelled.is_set():
                server.handle_chat_completions(self._request, self._on_chunk)
            if not self._reader.finished and not self.cancelled.is_set():
                self._emit(EngineError("llama.cpp ended without a result"))
        except ValueError as error:
            self._emit(InvalidRequestError([FieldViolation("prompt", f"refused by llama.cpp: {error}")]))
        except Exception as error:
            self._emit(EngineError(f"llama.cpp failed: {error}"))
        finally:
            self._emit(None)

    def _on_chunk(self, chunk: str) -> bool:
        """Whether llama.cpp shall stop. An exception must not reach its C++ caller."""
        if self.cancelled.is_set():
            return True
        try:
            for event in self._reader.read(json.loads(chunk)):
                self._emit(event)
        except MessPlusError as error:
            self._fail(error)
        except (KeyError, TypeError, ValueError) as error:
            self._fail(EngineError(f"llama.cpp sent a chunk that is not understood: {error!r}"))
        return self.cancelled.is_set()

    def _fail(self, error: MessPlusError) -> None:
        self.cancelled.set()
        self._emit(error)

    def _emit(self, event: TextDelta | EngineFinished | MessPlusError | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)
