"""Translates the feedback contract."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from messplus.feedback.v1 import feedback_service_pb2 as pb
from messplus.feedback.v1 import feedback_service_pb2_grpc

from services.feedback.learner import Learner
from services.feedback.ports import LearnerStatusSource
from services.feedback.submit import Feedback, Reference, SubmitFeedback
from services.feedback.submit_batch import SubmitFeedbackBatch

Context = grpc.aio.ServicerContext[Any, Any]


class FeedbackServicer(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """The feedback service's RPCs."""

    def __init__(
        self,
        submit: SubmitFeedback,
        submit_batch: SubmitFeedbackBatch,
        status: LearnerStatusSource,
        learner: Learner,
    ) -> None:
        self._submit, self._submit_batch, self._status, self._learner = submit, submit_batch, status, learner

    async def SubmitFeedback(  # noqa: N802
        self, request: pb.SubmitFeedbackRequest, context: Context
    ) -> pb.SubmitFeedbackResponse:
        """Records one verdict."""
        receipt = await self._submit.submit(_feedback(request))
        return pb.SubmitFeedbackResponse(satisfaction=receipt.satisfaction, log_position=receipt.log_position)

    async def SubmitFeedbackBatch(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SubmitFeedbackBatchRequest], context: Context
    ) -> pb.SubmitFeedbackBatchResponse:
        """Records a stream of verdicts."""
        receipt = await self._submit_batch.run(_feedback(m.feedback) async for m in request_iterator)
        return pb.SubmitFeedbackBatchResponse(
            accepted=receipt.accepted,
            rejected=receipt.rejected,
            rejections=[pb.RejectedFeedback(index=i, reason=reason) for i, reason in receipt.rejections],
        )

    async def GetLearnerStatus(  # noqa: N802
        self, request: pb.GetLearnerStatusRequest, context: Context
    ) -> pb.GetLearnerStatusResponse:
        """Tells how far the learner is."""
        status = await self._status.learner_status()
        lag_time = Duration()
        lag_time.FromMicroseconds(round(status.lag_seconds * 1e6))
        return pb.GetLearnerStatusResponse(
            is_leader=self._learner.is_leader,
            fence=status.fence,
            log_position=status.position,
            snapshot_version=status.version,
            lag_events=status.lag_events,
            lag_time=lag_time,
            labels_learned=status.labels_learned,
            open_joins=status.open_joins,
            dead_events=status.dead_events,
        )


def _feedback(request: pb.SubmitFeedbackRequest) -> Feedback:
    verdict: float | Reference | None
    match request.WhichOneof("verdict"):
        case "satisfied":
            verdict = float(request.satisfied)
        case "satisfaction":
            verdict = request.satisfaction
        case "reference":
            verdict = Reference(request.reference.text, request.reference.metric)
        case _:
            verdict = None
    return Feedback(request.request_id, request.decision_id, request.generation_id, verdict)
