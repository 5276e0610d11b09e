"""Clients of a started stack, on the host and inside its network."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import grpc
from messplus.common.v1 import common_pb2
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc

from tests.compose.stack import Stack

RETRY_SECONDS = 120.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
ROUND_ROBIN = """
import grpc
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb, router_service_pb2_grpc as rpc
options = [("grpc.lb_policy_name", "round_robin")]
stub = rpc.RouterServiceStub(grpc.insecure_channel("dns:///router:50051", options=options))
prompt = common_pb2.Prompt(text="Name a colour.")
sampling = common_pb2.SamplingParameters(max_tokens=4)
for _ in range(COUNT):
    request = pb.GenerateRequest(prompt=prompt, sampling=sampling)
    replies = list(stub.Generate(request, timeout=60, wait_for_ready=True))
    print(replies[0].decision.request_id)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    request_id: str
    decision_id: str
    text: str


class Clients:
    """Calls from the host. `answers` and `labels` keep what was answered OK and what was labelled OK."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.answers: list[str] = []
        self.labels: dict[str, bool] = {}

    def channel(self, service: str) -> grpc.Channel:
        """To the published port of ROUTER_1, ROUTER_2 or FEEDBACK."""
        options = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 500))
        return grpc.insecure_channel(f"127.0.0.1:{self._stack.ports[service]}", options=options)

    def generate(self, router: str, text: str, reference: str = "", traceparent: str = "") -> Answer:
        request = _request(text)
        if reference:
            request.labeling.reference.CopyFrom(common_pb2.ReferenceAnswer(text=reference, metric="contains"))
        metadata = (("traceparent", traceparent),) if traceparent else ()
        with self.channel(router) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            replies = self._served(stub, request, metadata)
        decision = replies[0].decision
        return Answer(decision.request_id, decision.decision_id, "".join(r.delta.text for r in replies))

    def _served(
        self,
        stub: "router_service_pb2_grpc.RouterServiceStub",
        request: router_service_pb2.GenerateRequest,
        metadata: tuple[tuple[str, str], ...],
    ) -> list[router_service_pb2.GenerateResponse]:
        """The replies of a call that ended OK."""
        replies = list(stub.Generate(request, timeout=120, metadata=metadata))
        self.answers.append(replies[0].decision.request_id)
        return replies

    def generate_by_name(self, count: int) -> None:
        """From inside the network, by the name that both routers have."""
        code = ROUND_ROBIN.replace("COUNT", str(count))
        self.answers += self._stack.exec("feedback", "python", "-c", code).split()

    def generate_on_one_connection(self, router: str, count: int) -> set[str]:
        """Answers by one channel; their request ids."""
        with self.channel(router) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            ids = [
                self._served(stub, _request("Name a colour."), ())[0].decision.request_id
                for _ in range(count)
            ]
        return set(ids)

    def label(self, answer: Answer, satisfied: bool) -> None:
        """Submits a verdict until it is taken, as a client would that must not lose one."""
        request = feedback_service_pb2.SubmitFeedbackRequest(
            request_id=answer.request_id, decision_id=answer.decision_id, satisfied=satisfied
        )
        with self.channel("FEEDBACK") as channel:
            stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
            _until_done(lambda: stub.SubmitFeedback(request, timeout=5), _AWAY)
        self.labels[answer.request_id] = satisfied

    def first_answer(self, router: str) -> None:
        """Asks until there is an answer; what was refused before that never was a request."""
        refused = (*_AWAY, grpc.StatusCode.FAILED_PRECONDITION)
        _until_done(lambda: self.generate(router, "What is the capital of Peru?"), refused)

    def status(self, router: str) -> Any:
        with self.channel(router) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            return stub.GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=5)

    def class_names(self, router: str) -> list[str]:
        return [entry.sla_class for entry in self.status(router).classes]

    def learner(self) -> Any:
        with self.channel("FEEDBACK") as channel:
            stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
            return stub.GetLearnerStatus(feedback_service_pb2.GetLearnerStatusRequest(), timeout=5)


def _request(text: str) -> router_service_pb2.GenerateRequest:
    sampling = common_pb2.SamplingParameters(max_tokens=16, temperature=0.0)
    return router_service_pb2.GenerateRequest(prompt=common_pb2.Prompt(text=text), sampling=sampling)


def _until_done(call: Callable[[], object], passing: Collection[grpc.StatusCode]) -> None:
    """Calls until it succeeds. Raises another error than the `passing` ones, and these too in the end."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            call()
        except grpc.RpcError as error:
            if error.code() not in passing or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
