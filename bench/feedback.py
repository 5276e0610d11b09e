"""`SubmitFeedback`, acknowledged once it is in the log: unary and on the stream."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from messplus.common.v1 import common_pb2
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc

from bench.decide import CLIENT_CORE, PROMPT, ROUTER_CORE
from bench.load import h2load
from bench.report import Row
from bench.system import System, running_system

UNARY, STREAMED, IN_FLIGHT = 15_000, 40_000, 64


def measure(folder: Path) -> list[Row]:
    """Labels real decisions of this run; the learner folds them in the same process meanwhile."""
    with running_system(folder, 1, CLIENT_CORE, CLIENT_CORE) as system:
        # The feedback service alone on its core; router and the rest share the other one.
        system.pin("feedback", ROUTER_CORE)
        decisions = _decide(system, 200)
        address = str(system.zoo["feedback_address"])
        method = "messplus.feedback.v1.FeedbackService/SubmitFeedback"
        h2load(address, method, decisions[0], 1000, IN_FLIGHT, CLIENT_CORE, folder)
        unary = h2load(address, method, decisions[0], UNARY, IN_FLIGHT, CLIENT_CORE, folder)
        streamed = _stream(address, decisions)
    return [
        Row("SubmitFeedback, unary", unary.per_second, "labels/s", ">=", 2500),
        Row("SubmitFeedbackBatch, stream", streamed, "labels/s", ">=", 7000),
    ]


def _decide(system: System, count: int) -> list[feedback_service_pb2.SubmitFeedbackRequest]:
    with grpc.insecure_channel(str(system.zoo["router_addresses"][0])) as channel:
        router = router_service_pb2_grpc.RouterServiceStub(channel)
        request = router_service_pb2.DecideRequest(prompt=common_pb2.Prompt(text=PROMPT))
        replies = [router.Decide(request, timeout=10).decision for _ in range(count)]
    return [
        feedback_service_pb2.SubmitFeedbackRequest(
            request_id=reply.request_id, decision_id=reply.decision_id, satisfied=i % 3 > 0
        )
        for i, reply in enumerate(replies)
    ]


def _stream(address: str, labels: list[feedback_service_pb2.SubmitFeedbackRequest]) -> float:
    """Labels per second over one client stream, the slower of sending and acknowledging."""

    def requests() -> Iterator[feedback_service_pb2.SubmitFeedbackBatchRequest]:
        batch = [feedback_service_pb2.SubmitFeedbackBatchRequest(feedback=label) for label in labels]
        for i in range(STREAMED):
            yield batch[i % len(batch)]

    with grpc.insecure_channel(address) as channel:
        stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        began = time.monotonic()
        reply = stub.SubmitFeedbackBatch(requests(), timeout=120)
        seconds = time.monotonic() - began
    if reply.accepted != STREAMED:
        raise RuntimeError(f"only {reply.accepted} of {STREAMED} labels were accepted")
    return STREAMED / seconds
