"""Step reports over one client stream to the energy service, opened anew after a failure."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc

from services.worker.steps import Step, StepReport, StepTier

GOODBYE_SECONDS = 2.0
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
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = energy_service_pb2_grpc.EnergyServiceStub(self._channel)
        self._worker_id, self._model_id, self._boot_id = worker_id, model_id, boot_id
        self._device_ids, self._tier = tuple(device_ids), tier
        self._call: Any = None

    async def offer(self, report: StepReport) -> bool:
        """See StepSink. Waits while the service takes reports more slowly than they come."""
        try:
            if self._call is None or self._call.done():
                self._call = self._stub.ReportSteps()
            await self._call.write(self._message(report))
        except _AWAY:
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

    def _message(self, report: StepReport) -> energy_service_pb2.ReportStepsRequest:
        return energy_service_pb2.ReportStepsRequest(
            worker_id=self._worker_id,
            model_id=self._model_id,
            boot_id=self._boot_id,
            monotonic_nanoseconds=report.monotonic_nanoseconds,
            cpu_seconds=report.cpu_seconds,
            steps=map(_step, report.steps),
            tier=_TIERS[self._tier()],
            device_ids=self._device_ids,
            warming_up=report.warming_up,
        )


def _step(step: Step) -> energy_service_pb2.EngineStep:
    work = (
        energy_service_pb2.SequenceWork(
            request_id=w.request_id,
            generation_id=w.generation_id,
            prefill_tokens=w.prefill_tokens,
            decode_tokens=w.decode_tokens,
            context_tokens=w.context_tokens,
            finished=w.finished,
            traceparent=w.traceparent,
        )
        for w in step.work
    )
    return energy_service_pb2.EngineStep(
        start_nanoseconds=step.start_nanoseconds, end_nanoseconds=step.end_nanoseconds, work=work
    )
