"""Joules from an energy service: of one request, and of everything that its meters read."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc

from cli.measure.endpoint import EndpointError

PATIENCE_SECONDS = 10.0
"""How long a figure may take: the last step's window must close first."""
_POLL_SECONDS = 0.05
_CALL_SECONDS = 5.0
_PREFIX = "ENERGY_QUALITY_"


@dataclass(frozen=True, slots=True)
class Joules:
    """An amount of energy, J, and its quality: "measured", "modelled" or "estimated"."""

    joules: float
    quality: str


class JouleReader:
    """Asks the energy service at an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = energy_service_pb2_grpc.EnergyServiceStub(self._channel)

    async def of_request(self, request_id: str) -> Joules:
        """Joules of all generations of a request. Raises EndpointError where no figure comes in time."""
        request = energy_service_pb2.GetRequestEnergyRequest(request_id=request_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = await self._stub.GetRequestEnergy(request, timeout=_CALL_SECONDS)
                return Joules(found.energy_joules, _worst(found.generations))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND or time.monotonic() > deadline:
                    raise self._failed(error) from error
            await asyncio.sleep(_POLL_SECONDS)

    async def total(self) -> float:
        """Joules that all meters have read so far. Raises EndpointError."""
        try:
            reply = await self._stub.GetMeters(energy_service_pb2.GetMetersRequest(), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        return float(sum(meter.measured_joules for meter in reply.meters))

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    def _failed(self, error: grpc.aio.AioRpcError) -> EndpointError:
        return EndpointError(
            f"the energy service at {self._address} gave no joules ({error.code().name}): "
            "the worker must report its steps to it"
        )


def _worst(generations: Iterable[common_pb2.GenerationEnergy]) -> str:
    qualities = [generation.quality for generation in generations]
    return common_pb2.EnergyQuality.Name(max(qualities)).removeprefix(_PREFIX).lower()
