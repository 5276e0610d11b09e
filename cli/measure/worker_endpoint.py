"""A worker of this project as an endpoint."""

import time
import uuid

import grpc
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from cli.measure.endpoint import EndpointError
from planner.replies import Arrival, Reply

_CALL_SECONDS = 600.0
_INFO_SECONDS = 10.0


class WorkerEndpoint:
    """The worker at an address; temperature 0."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(self._channel)

    async def info(self) -> worker_service_pb2.GetModelInfoResponse:
        """What runs there. Raises EndpointError where no worker answers."""
        request = worker_service_pb2.GetModelInfoRequest()
        try:
            reply: worker_service_pb2.GetModelInfoResponse = await self._stub.GetModelInfo(
                request, timeout=_INFO_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        return reply

    async def answer(self, prompt: str, max_tokens: int) -> Reply:
        """See Endpoint."""
        request_id = uuid.uuid4().hex
        request = worker_service_pb2.GenerateRequest(
            request_id=request_id,
            generation_id=f"{request_id}-0",
            prompt=common_pb2.Prompt(text=prompt),
            sampling=common_pb2.SamplingParameters(max_tokens=max_tokens, temperature=0.0),
        )
        arrivals: list[Arrival] = []
        usage = None
        sent = time.monotonic()
        try:
            async for response in self._stub.Generate(request, timeout=_CALL_SECONDS):
                if response.HasField("finished"):
                    usage = response.finished.usage
                elif response.delta.token_count:
                    arrivals.append(Arrival(time.monotonic(), response.delta.token_count))
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        if usage is None:
            raise EndpointError(f"the worker at {self._address} ended an answer without its token counts")
        computed = usage.prompt_tokens - usage.cached_prompt_tokens
        return Reply(request_id, sent, time.monotonic(), computed, usage.completion_tokens, tuple(arrivals))

    async def close(self) -> None:
        """See Endpoint."""
        await self._channel.close()

    def _failed(self, error: grpc.aio.AioRpcError) -> EndpointError:
        return EndpointError(
            f"the worker at {self._address} failed with {error.code().name}: {error.details()}"
        )
