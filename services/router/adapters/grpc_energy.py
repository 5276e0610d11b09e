"""Attributed joules from the energy service."""

import grpc
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc

from services.common.channels import RECONNECT_OPTIONS
from services.common.event_codec import energy_from_proto
from services.core.events import EnergyAttributed


class GrpcEnergyFigures:
    """`EnergyFigures` of the energy service at an address."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=RECONNECT_OPTIONS)
        self._stub = energy_service_pb2_grpc.EnergyServiceStub(self._channel)

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def of_generation(
        self, request_id: str, generation_id: str, timeout_seconds: float
    ) -> EnergyAttributed | None:
        """See `EnergyFigures`. One call, no polling: without an answer in time the figure is not known."""
        request = energy_service_pb2.GetRequestEnergyRequest(request_id=request_id)
        try:
            response = await self._stub.GetRequestEnergy(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError:
            return None
        for energy in response.generations:
            if energy.generation_id == generation_id:
                return energy_from_proto(energy, "")
        return None
