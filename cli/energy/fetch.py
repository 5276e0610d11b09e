"""Asks the energy service for the joules of a request."""

import grpc
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc

from cli.failure import CommandError
from cli.routers import is_away, open_channel
from services.common.zoo import Zoo

CALL_SECONDS = 5.0


def fetch_energy(zoo: Zoo, request_id: str) -> energy_service_pb2.GetRequestEnergyResponse:
    """The joules of a request's generations.

    Raises CommandError where the energy service does not answer, and where it has no figure of the request.
    """
    request = energy_service_pb2.GetRequestEnergyRequest(request_id=request_id)
    with open_channel(zoo.energy.address) as channel:
        stub = energy_service_pb2_grpc.EnergyServiceStub(channel)
        try:
            return stub.GetRequestEnergy(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if is_away(error):
                raise CommandError(_no_answer(zoo, error)) from None
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise CommandError(_unknown(zoo, request_id)) from None
            raise


def _no_answer(zoo: Zoo, error: grpc.RpcError) -> str:
    return (
        f"no energy service answers at {zoo.energy.address} ({error.code().name}): start the system with"
        " `messplus up`, or name its zoo with --zoo"
    )


def _unknown(zoo: Zoo, request_id: str) -> str:
    return (
        f"zoo {zoo.name!r} has no joules of request {request_id!r}: they are there a moment after its answer"
        " has ended, and kept for the newest requests; take request_id, not decision_id, of a reply's"
        " decision, or name the request's zoo with --zoo"
    )
