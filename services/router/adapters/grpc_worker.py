"""A worker over gRPC: its generations and its health."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from services.common.channels import RECONNECT_OPTIONS
from services.common.event_codec import finish_reason_from_proto
from services.common.telemetry import trace_metadata
from services.router.ports import WorkerEnd, WorkerStatus
from services.router.refusals import Refusal, WorkerRefusal
from services.router.requests import Generation

_INFO_TIMEOUT_SECONDS = 5.0
_OPTIONS = (
    *RECONNECT_OPTIONS,
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_retries", 0),
)
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
        self._calls: set[Any] = set()

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
        # A call that nobody holds is cancelled; after its last message it shall end by itself.
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        ended = False
        try:
            async for response in call:
                if response.HasField("finished"):
                    ended = True
                    yield _end(response.finished)
                    return
                yield response.delta.text, response.delta.token_count
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None
        finally:
            if not ended:
                call.cancel()
        raise WorkerRefusal(Refusal.BROKEN, "the stream ended without its last message")

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
    name = " ".join([error.code().name, *_reasons(error)])
    return WorkerRefusal(kind, f"{name}: {error.details() or 'no details'}"[:500])


def _reasons(error: grpc.aio.AioRpcError) -> list[str]:
    """What the worker calls the error, for example BrokenStream; nothing where it could not say."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    found = []
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            found.append(info.reason)
    return found
