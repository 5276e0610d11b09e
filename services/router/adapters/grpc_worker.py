"""A worker over gRPC: its generations and its health."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from services.common.event_codec import finish_reason_from_proto
from services.common.telemetry import trace_metadata
from services.router.ports import WorkerEnd, WorkerStatus
from services.router.refusals import Refusal, WorkerRefusal
from services.router.requests import Generation

_INFO_TIMEOUT_SECONDS = 5.0
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_retries", 0),
)
_GAP_SECONDS = 0.004
_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: Refusal.INVALID,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Refusal.BUSY,
    grpc.StatusCode.DEADLINE_EXCEEDED: Refusal.LATE,
}


class GrpcWorker:
    """`Worker` at an address; `model_id` is what it must serve."""

    def __init__(self, address: str, model_id: str) -> None:
        self._address, self._model_id = address, model_id
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def generate(
        self, request_id: str, generation_id: str, work: Generation, timeout_seconds: float
    ) -> AsyncGenerator[tuple[str, int] | WorkerEnd, None]:
        """See `Worker`."""
        request = worker_service_pb2.GenerateRequest(
            request_id=request_id,
            generation_id=generation_id,
            prompt=common_pb2.Prompt.FromString(work.prompt),
            sampling=common_pb2.SamplingParameters.FromString(work.sampling),
        )
        call = self._stub.Generate(request, timeout=timeout_seconds, metadata=trace_metadata() or None)
        inbox = _Inbox()
        reader = asyncio.get_running_loop().create_task(inbox.fill(call))
        try:
            while inbox.end is None:
                await inbox.news.wait()
                if inbox.tokens or inbox.text:
                    yield inbox.take()
                elif inbox.failure is not None:
                    raise inbox.failure
            if inbox.text:
                yield inbox.take()
            yield inbox.end
        finally:
            # After its last message a call ends by itself, and nobody needs to wait for that.
            if inbox.end is None:
                reader.cancel()
                call.cancel()

    async def statuses(self) -> AsyncIterator[WorkerStatus]:
        """See `Worker`. Follows the standard health service; asks what runs there when it is ready."""
        call = self._health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        try:
            async for response in call:
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    yield await self._info()
                else:
                    yield WorkerStatus(False, "loading or draining")
        except grpc.aio.AioRpcError as error:
            yield WorkerStatus(False, f"{self._address}: {error.code().name}")
        finally:
            call.cancel()

    async def _info(self) -> WorkerStatus:
        info = await self._stub.GetModelInfo(
            worker_service_pb2.GetModelInfoRequest(), timeout=_INFO_TIMEOUT_SECONDS
        )
        if info.model_id != self._model_id:
            found = f"{self._address} serves {info.model_id!r}, the zoo says {self._model_id!r}"
            return WorkerStatus(False, found)
        return WorkerStatus(True, "", info.worker_id, info.context_window_tokens, info.max_batch_size)


class _Inbox:
    """What a worker has sent and nobody has taken yet.

    Pieces that follow each other faster than `_GAP_SECONDS` are joined: relaying a piece costs more than
    making a small one. The first piece and the end never wait. What waits is bounded by max_tokens.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._not_before = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self.news = asyncio.Event()
        self.text: list[str] = []
        self.tokens = 0
        self.end: WorkerEnd | None = None
        self.failure: WorkerRefusal | None = None

    def take(self) -> tuple[str, int]:
        """All text that waits, and its tokens."""
        taken = "".join(self.text), self.tokens
        self.text, self.tokens = [], 0
        self._not_before = self._loop.time() + _GAP_SECONDS
        if self._alarm is not None:
            # A late one would announce text that is gone, and its reader would spin forever.
            self._alarm.cancel()
            self._alarm = None
        if self.end is None and self.failure is None:
            self.news.clear()
        return taken

    async def fill(self, call: Any) -> None:
        """Reads a call to its end."""
        try:
            async for response in call:
                if response.HasField("finished"):
                    self.end = _end(response.finished)
                    self.news.set()
                else:
                    self._put(response.delta)
            self.failure = WorkerRefusal(Refusal.BROKEN, "the stream ended without its last message")
        except grpc.aio.AioRpcError as error:
            self.failure = _refusal(error)
        finally:
            if self.end is None and self.failure is None:
                self.failure = WorkerRefusal(Refusal.BROKEN, "the call was cancelled")
            self.news.set()
            if self._alarm is not None:
                self._alarm.cancel()

    def _put(self, delta: worker_service_pb2.TextDelta) -> None:
        self.text.append(delta.text)
        self.tokens += delta.token_count
        if self._loop.time() >= self._not_before:
            self.news.set()
        elif self._alarm is None:
            self._alarm = self._loop.call_at(self._not_before, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.news.set()


def _end(finished: worker_service_pb2.Finished) -> WorkerEnd:
    usage = finished.usage
    return WorkerEnd(
        finish_reason_from_proto(finished.finish_reason),
        usage.prompt_tokens,
        usage.cached_prompt_tokens,
        usage.completion_tokens,
    )


def _refusal(error: grpc.aio.AioRpcError) -> WorkerRefusal:
    kind = _KINDS.get(error.code(), Refusal.BROKEN)
    return WorkerRefusal(kind, f"{error.code().name}: {error.details() or 'no details'}"[:500])
