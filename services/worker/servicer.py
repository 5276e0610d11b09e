"""The worker's RPCs: wire to domain and back, nothing else."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from services.worker.generation import EngineInfo, Finished
from services.worker.generations import Generations
from services.worker.translation import delta_response, finished_response, task_of

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE = "messplus.worker.v1.WorkerService"


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """One engine, one model."""

    def __init__(
        self, generations: Generations, info: EngineInfo, model_id: str, worker_id: str, max_queue_size: int
    ) -> None:
        self._generations = generations
        self._info = worker_service_pb2.GetModelInfoResponse(
            model_id=model_id,
            weights_sha256=info.weights_sha256,
            context_window_tokens=info.context_window_tokens,
            max_batch_size=info.slots,
            max_queue_size=max_queue_size,
            engine=info.engine,
            engine_version=info.version,
            worker_id=worker_id,
            model_name=info.model_name,
        )

    async def Generate(  # noqa: N802 - the name is the contract's
        self, request: worker_service_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[worker_service_pb2.GenerateResponse]:
        """See the contract."""
        generation = self._generations.start(task_of(request))
        # Fires however the call ends: finished, cancelled by its client, past its deadline, or drained.
        context.add_done_callback(lambda _context: generation.cancel())  # type: ignore[arg-type]
        async for event in generation.events():
            yield finished_response(event) if isinstance(event, Finished) else delta_response(event)

    async def GetModelInfo(  # noqa: N802 - the name is the contract's
        self, request: worker_service_pb2.GetModelInfoRequest, context: Context
    ) -> worker_service_pb2.GetModelInfoResponse:
        """See the contract."""
        return self._info
