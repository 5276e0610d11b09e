"""Translates between the protos and the use case."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb
from messplus.energy.v1 import energy_service_pb2_grpc as pb_grpc

from services.common.event_codec import energy_to_proto
from services.core.errors import InvalidRequestError
from services.energy.accounting import EnergyAccounting
from services.energy.metering import MeterStatus
from services.energy.meters.base import MICROJOULES_PER_JOULE
from services.energy.metrics import EnergyMetrics
from services.energy.power import PowerGauge
from services.energy.report_parsing import parse_report
from services.energy.reports import Receipt
from services.energy.validation import parse_interval, parse_request_id

SERVICE = "messplus.energy.v1.EnergyService"
_Context = grpc.aio.ServicerContext[Any, Any]


class EnergyServicer(pb_grpc.EnergyServiceServicer):
    """The RPCs of the energy service; `stopping` ends its streams."""

    def __init__(
        self,
        accounting: EnergyAccounting,
        metrics: EnergyMetrics,
        clock: Callable[[], int],
        stopping: asyncio.Event,
    ) -> None:
        self._accounting, self._metrics, self._clock, self._stopping = accounting, metrics, clock, stopping

    async def ReportSteps(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.ReportStepsRequest], context: _Context
    ) -> pb.ReportStepsResponse:
        """Takes a worker's step reports until it closes the stream or this service stops."""
        receipt = Receipt()
        async for message in _until(self._stopping, request_iterator):
            receipt += self._take(message)
        return pb.ReportStepsResponse(accepted_steps=receipt.accepted_steps, late_steps=receipt.late_steps)

    def _take(self, message: pb.ReportStepsRequest) -> Receipt:
        try:
            receipt = self._accounting.take_report(parse_report(message), self._clock())
        except InvalidRequestError as error:
            self._metrics.refused(error)
            raise
        self._metrics.took(receipt)
        return receipt

    async def GetRequestEnergy(  # noqa: N802
        self, request: pb.GetRequestEnergyRequest, context: _Context
    ) -> pb.GetRequestEnergyResponse:
        """Joules of every generation of a request."""
        figures = self._accounting.of_request(parse_request_id(request.request_id))
        return pb.GetRequestEnergyResponse(
            generations=map(energy_to_proto, figures),
            energy_joules=sum(figure.energy_joules for figure in figures),
        )

    async def GetMeters(self, request: pb.GetMetersRequest, context: _Context) -> pb.GetMetersResponse:  # noqa: N802
        """The meters and their balances."""
        return pb.GetMetersResponse(meters=map(_meter, self._accounting.meters()))

    async def WatchPower(  # noqa: N802
        self, request: pb.WatchPowerRequest, context: _Context
    ) -> AsyncIterator[pb.WatchPowerResponse]:
        """Power and balances at a fixed interval."""
        interval_seconds = parse_interval(request.interval if request.HasField("interval") else None)
        gauge = PowerGauge()
        self._power(gauge)
        while not await _is_set_within(self._stopping, interval_seconds):
            yield self._power(gauge)

    def _power(self, gauge: PowerGauge) -> pb.WatchPowerResponse:
        now, statuses = self._clock(), self._accounting.meters()
        watts = sum(gauge.watts(s.meter_id, now, s.read_microjoules) for s in statuses)
        response = pb.WatchPowerResponse(power_watts=watts, meters=map(_meter, statuses))
        response.read_at.FromNanoseconds(time.time_ns())
        return response


def _meter(status: MeterStatus) -> pb.Meter:
    balance = status.balance
    return pb.Meter(
        meter_id=status.meter_id,
        kind=status.kind,
        quality=common_pb2.EnergyQuality.Value(f"ENERGY_QUALITY_{status.quality}"),
        available=status.available,
        detail=status.detail,
        measured_joules=balance.measured_microjoules / MICROJOULES_PER_JOULE,
        attributed_joules=balance.attributed_microjoules / MICROJOULES_PER_JOULE,
        unattributed_joules={
            reason.value: microjoules / MICROJOULES_PER_JOULE
            for reason, microjoules in balance.unattributed_microjoules.items()
        },
        watts_per_core=status.watts_per_core,
        method=status.method,
        update_period_seconds=status.observed.update_period_seconds,
        lag_seconds=status.observed.lag_seconds,
        suspect=status.observed.suspect,
        unknown_windows=status.observed.unknown_windows,
    )


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _until(
    stopping: asyncio.Event, messages: AsyncIterator[pb.ReportStepsRequest]
) -> AsyncIterator[pb.ReportStepsRequest]:
    """The messages until the stream ends or `stopping` is set."""
    stop = asyncio.ensure_future(stopping.wait())
    try:
        while True:
            message = asyncio.ensure_future(anext(messages, None))
            await asyncio.wait({stop, message}, return_when=asyncio.FIRST_COMPLETED)
            if not message.done():
                message.cancel()
                return
            if (arrived := message.result()) is None:
                return
            yield arrived
    finally:
        stop.cancel()
