"""The client for ordinary programs."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Unpack

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


class Stream:
    """Texts of an answer as they come; `answer` grows meanwhile."""

    def __init__(self, call: Any) -> None:
        self._call, self.answer = call, Answer()

    def __iter__(self) -> Iterator[str]:
        """The texts. Raises RequestFailed."""
        try:
            for response in self._call:
                if text := self.answer.take(response):
                    yield text
        except grpc.RpcError as error:
            raise RequestFailed.of(error) from None

    def cancel(self) -> None:
        """Stops the generation; the text so far stays in `answer`."""
        self._call.cancel()


class Client:
    """Talks to routers, and to the feedback service if its address is given.

    Args:
        router: "host:port"; all addresses behind the name take turns.
        feedback: of the feedback service.
        timeout_seconds: deadline of every call.
        retry: repeats calls that found no service, up to twice; each request then has an id of its own.

    """

    def __init__(
        self, router: str, feedback: str = "", timeout_seconds: float = TIMEOUT_SECONDS, retry: bool = True
    ) -> None:
        self._timeout, self._retry = timeout_seconds, retry
        options = channel_options(retry)
        self._channels = [grpc.insecure_channel(each, options) for each in (router, feedback) if each]
        self._router = router_service_pb2_grpc.RouterServiceStub(self._channels[0])
        self._feedback = (
            feedback_service_pb2_grpc.FeedbackServiceStub(self._channels[-1]) if feedback else None
        )

    def stream(self, prompt: str | Messages | pb.GenerateRequest, **options: Unpack[Options]) -> Stream:
        """Begins an answer; iterate over it for its texts."""
        request = generate_request(prompt, self._retry, options)
        return Stream(self._router.Generate(request, timeout=self._timeout))

    def ask(self, prompt: str | Messages | pb.GenerateRequest, **options: Unpack[Options]) -> Answer:
        """A whole answer. Raises RequestFailed."""
        stream = self.stream(prompt, **options)
        for _ in stream:
            pass
        return stream.answer

    def decide(
        self, prompt: str | Messages, *, sla_class: str = "", max_tokens: int | None = None
    ) -> pb.Decision:
        """Which model should answer, for programs that run the models themselves. Raises RequestFailed."""
        request = decide_request(prompt, self._retry, sla_class, max_tokens)
        try:
            return self._router.Decide(request, timeout=self._timeout).decision
        except grpc.RpcError as error:
            raise RequestFailed.of(error) from None

    def judge(
        self,
        answer: Answer | pb.Decision,
        *,
        satisfied: bool | None = None,
        satisfaction: float | None = None,
    ) -> feedback_service_pb2.SubmitFeedbackResponse:
        """Says how good an answer was. Raises RequestFailed, and ValueError without exactly one verdict."""
        if self._feedback is None:
            raise ValueError("this client has no feedback address: Client(router, feedback=...)")
        request = feedback_request(answer, satisfied, satisfaction)
        try:
            return self._feedback.SubmitFeedback(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise RequestFailed.of(error) from None

    def close(self) -> None:
        """Closes the connections."""
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> "Client":
        """This client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self.close()
