"""Asks the services of a zoo how they fare."""

from dataclasses import dataclass
from typing import Any

import grpc
from messplus.energy.v1 import energy_service_pb2, energy_service_pb2_grpc
from messplus.feedback.v1 import feedback_service_pb2, feedback_service_pb2_grpc
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc

from cli.routers import ask_first, open_channel
from services.common.zoo import Zoo

CALL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """Answers of the services at one moment; None or a text instead of a service that does not answer."""

    router_address: str
    sla: router_service_pb2.GetSlaStatusResponse
    models: router_service_pb2.ListModelsResponse
    learner: feedback_service_pb2.GetLearnerStatusResponse | str
    meters: energy_service_pb2.GetMetersResponse | str


class StatusClient:
    """Channels to the services of one zoo; use it as a context manager."""

    def __init__(self, zoo: Zoo) -> None:
        self._zoo = zoo
        places = (*zoo.router_addresses, zoo.feedback_address, zoo.energy.address)
        self._channels = {place: open_channel(place) for place in places}
        self._routers = {place: self._channels[place] for place in zoo.router_addresses}

    def __enter__(self) -> "StatusClient":
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels.values():
            channel.close()

    def fetch(self) -> SystemStatus:
        """Asks the first router that answers, and the other services.

        Raises CommandError when no router answers.
        """
        address, sla = ask_first(self._routers, _sla_status)
        router = router_service_pb2_grpc.RouterServiceStub(self._channels[address])
        feedback = feedback_service_pb2_grpc.FeedbackServiceStub(self._channels[self._zoo.feedback_address])
        energy = energy_service_pb2_grpc.EnergyServiceStub(self._channels[self._zoo.energy.address])
        return SystemStatus(
            router_address=address,
            sla=sla,
            models=router.ListModels(router_service_pb2.ListModelsRequest(), timeout=CALL_SECONDS),
            learner=_or_reason(
                feedback.GetLearnerStatus, feedback_service_pb2.GetLearnerStatusRequest(), "feedback service"
            ),
            meters=_or_reason(energy.GetMeters, energy_service_pb2.GetMetersRequest(), "energy service"),
        )


def _sla_status(
    stub: "router_service_pb2_grpc.RouterServiceStub",
) -> router_service_pb2.GetSlaStatusResponse:
    return stub.GetSlaStatus(router_service_pb2.GetSlaStatusRequest(), timeout=CALL_SECONDS)


def _or_reason(method: Any, request: Any, service: str) -> Any:
    try:
        return method(request, timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        return f"the {service} does not answer ({_reason(error)})"


def _reason(error: grpc.RpcError) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if code else repr(error)
