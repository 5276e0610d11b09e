"""Step reports over one client stream to the energy service, opened anew after a failure."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc

from services.common.channels import RECONNECT_OPTIONS
from services.worker.steps import SequenceWork, Step, StepReport, StepTier

GOODBYE_SECONDS = 2.0
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
_log = logging.getLogger(__name__)
_AWAY = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError)
_TIERS = {
    StepTier.TOKEN_TIMES: common_pb2.STEP_TIER_TOKEN_TIMES,
    StepTier.REQUEST_TIMES: common_pb2.STEP_TIER_REQUEST_TIMES,
    StepTier.NONE: common_pb2.STEP_TIER_NONE,
}


class GrpcStepSink:
    """The energy service at `address`.

    A report is lost only if the stream breaks after it was written and before the service read it.
    """

    def __init__(
        self,
        address: str,
        worker_id: str,
        model_id: str,
        boot_id: str,
        tier: Callable[[], StepTier],
        device_ids: Sequence[str] = (),
    ) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=RECONNECT_OPTIONS)
        self._stub = energy_service_pb2_grpc.EnergyServiceStub(self._channel)
        self._worker_id, self._model_id, self._boot_id = worker_id, model_id, boot_id
        self._device_ids, self._tier = tuple(device_ids), tier
        self._call: Any = None

    async def offer(self, report: StepReport) -> bool:
        """See StepSink. Waits while the service takes reports more slowly than they come."""
        try:
            if self._call is None or self._call.done():
                await self._note_refusal()
                self._call = self._stub.ReportSteps()
            await self._call.write(self._message(report))
        except _AWAY:
            await self._note_refusal()
            self._call = None
            return False
        return True

    async def close(self) -> None:
        """See StepSink. Waits briefly for the service's receipt."""
        try:
            if self._call is not None:
                await self._call.done_writing()
                await asyncio.wait_for(self._call, GOODBYE_SECONDS)
        except (*_AWAY, TimeoutError):
            self._call.cancel()
        finally:
            await self._channel.close()

    async def _note_refusal(self) -> None:
        """Says why the service ended the stream, if it refused a report, which is not sent again."""
        if self._call is None or not self._call.done():
            return
        code = await self._call.code()
        if code in _REFUSALS:
            reason = await self._call.details()
            _log.error(
                "the energy service refused a report of %s: %s (%s)", self._model_id, reason, code.name
            )

    def _message(self, report: StepReport) -> energy_service_pb2.ReportStepsRequest:
        generations = _Generations()
        steps = [generations.step(step) for step in report.steps]
        return energy_service_pb2.ReportStepsRequest(
            worker_id=self._worker_id,
            model_id=self._model_id,
            boot_id=self._boot_id,
            monotonic_nanoseconds=report.monotonic_nanoseconds,
            cpu_seconds=report.cpu_seconds,
            generations=generations.messages,
            steps=steps,
            tier=_TIERS[self._tier()],
            device_ids=self._device_ids,
            warming_up=report.warming_up,
        )


class _Generations:
    """The generations of a report's steps, by place."""

    def __init__(self) -> None:
        self.messages: list[energy_service_pb2.ReportedGeneration] = []
        self._places: dict[str, int] = {}

    def step(self, step: Step) -> energy_service_pb2.EngineStep:
        """A step whose work is told by place."""
        return energy_service_pb2.EngineStep(
            start_nanoseconds=step.start_nanoseconds,
            end_nanoseconds=step.end_nanoseconds,
            generations=map(self._place, step.work),
            prefill_tokens=[work.prefill_tokens for work in step.work],
            decode_tokens=[work.decode_tokens for work in step.work],
            context_tokens=[work.context_tokens for work in step.work],
        )

    def _place(self, work: SequenceWork) -> int:
        place = self._places.setdefault(work.generation_id, len(self.messages))
        if place == len(self.messages):
            self.messages.append(
                energy_service_pb2.ReportedGeneration(
                    request_id=work.request_id, generation_id=work.generation_id, traceparent=work.traceparent
                )
            )
        self.messages[place].finished |= work.finished
        return place
