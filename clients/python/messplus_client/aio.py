"""The client for asyncio."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Unpack, cast

import grpc
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc
from messplus.router.v1 import router_service_pb2 as pb
from messplus.router.v1 import router_service_pb2_grpc

from messplus_client.answers import Answer
from messplus_client.errors import RequestFailed
from messplus_client.requests import (
    TIMEOUT_SECONDS,
    Messages,
    Options,
    channel_options,
    decide_request,
    feedback_request,
    generate_request,
)


class AsyncStream:
    """As `Stream`."""

    def __init__(self, call: Any) -> None:
        self._call, self.answer = call, Answer()

    async def __aiter__(self) -> AsyncIterator[str]:
        """The texts. Raises RequestFailed."""
        try:
            async for response in self._call:
                if text := self.answer.take(response):
                    yield text
        except grpc.aio.AioRpcError as error:
            raise RequestFailed.of(error) from None

    def cancel(self) -> None:
        """Stops the generation; the text so far stays in `answer`."""
        self._call.cancel()


class AsyncClient:
    """As `Client`, to be made inside a running event loop."""

    def __init__(
        self, router: str, feedback: str = "", timeout_seconds: float = TIMEOUT_SECONDS, retry: bool = True
    ) -> None:
        self._timeout, self._retry = timeout_seconds, retry
        options = channel_options(retry)
        self._channels = [grpc.aio.insecure_channel(each, options) for each in (router, feedback) if each]
        self._router = cast(Any, router_service_pb2_grpc.RouterServiceStub(self._channels[0]))
        stub = feedback_service_pb2_grpc.FeedbackServiceStub
        self._feedback = cast(Any, stub(self._channels[-1])) if feedback else None

    def stream(self, prompt: str | Messages | pb.GenerateRequest, **options: Unpack[Options]) -> AsyncStream:
        """Begins an answer; iterate over it for its texts."""
        request = generate_request(prompt, self._retry, options)
        return AsyncStream(self._router.Generate(request, timeout=self._timeout))

    async def ask(self, prompt: str | Messages | pb.GenerateRequest, **options: Unpack[Options]) -> Answer:
        """A whole answer. Raises RequestFailed."""
        stream = self.stream(prompt, **options)
        async for _ in stream:
            pass
        return stream.answer

    async def decide(
        self, prompt: str | Messages, *, sla_class: str = "", max_tokens: int | None = None
    ) -> pb.Decision:
        """As `Client.decide`. Raises RequestFailed."""
        request = decide_request(prompt, self._retry, sla_class, max_tokens)
        try:
            response: pb.DecideResponse = await self._router.Decide(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise RequestFailed.of(error) from None
        return response.decision

    async def judge(
        self,
        answer: Answer | pb.Decision,
        *,
        satisfied: bool | None = None,
        satisfaction: float | None = None,
    ) -> feedback_service_pb2.SubmitFeedbackResponse:
        """As `Client.judge`. Raises RequestFailed, and ValueError without exactly one verdict."""
        if self._feedback is None:
            raise ValueError("this client has no feedback address: AsyncClient(router, feedback=...)")
        request = feedback_request(answer, satisfied, satisfaction)
        try:
            response: feedback_service_pb2.SubmitFeedbackResponse = await self._feedback.SubmitFeedback(
                request, timeout=self._timeout
            )
        except grpc.aio.AioRpcError as error:
            raise RequestFailed.of(error) from None
        return response

    async def close(self) -> None:
        """Closes the connections."""
        for channel in self._channels:
            await channel.close()

    async def __aenter__(self) -> "AsyncClient":
        """This client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self.close()
