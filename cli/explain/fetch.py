"""Asks a router why it decided as it did."""

import grpc
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc

from cli.failure import CommandError
from cli.routers import ask_first, open_channel
from services.common.zoo import Zoo

CALL_SECONDS = 10.0
"""Longer than a router waits for the log, so that it can say what is wrong with that."""


def fetch_explanation(zoo: Zoo, request_id: str) -> router_service_pb2.ExplainDecisionResponse:
    """The decision on a request, from the first of the zoo's routers that answers.

    Raises CommandError where no router answers, where the id is unknown, and where the router cannot reach
    the log.
    """
    request = router_service_pb2.ExplainDecisionRequest(request_id=request_id)

    def ask(
        stub: "router_service_pb2_grpc.RouterServiceStub",
    ) -> router_service_pb2.ExplainDecisionResponse:
        return stub.ExplainDecision(request, timeout=CALL_SECONDS)

    channels = {address: open_channel(address) for address in zoo.router_addresses}
    try:
        return ask_first(channels, ask)[1]
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise CommandError(_unknown(zoo, request_id)) from None
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise CommandError(
                f"a router answers, but {error.details()}: see that Redis is up, then try again"
            ) from None
        raise
    finally:
        for channel in channels.values():
            channel.close()


def _unknown(zoo: Zoo, request_id: str) -> str:
    """What to do about an id that the router does not know, the likeliest mistake first."""
    request, dot, number = request_id.rpartition(".")
    is_generation = dot and number[-1:].isdigit()
    generation = f"if it is a generation's id, its request is {request}; " if is_generation else ""
    return (
        f"request {request_id!r} is not known in zoo {zoo.name!r}: {generation}take request_id, not"
        f" decision_id, of a reply's decision that is at most {zoo.routing.decided_ttl_seconds} s old"
        " (routing.decided_ttl_seconds), or name the request's zoo with --zoo"
    )
