"""Reaching the routers of a zoo: the first one that answers, or one line that says what to do."""

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import grpc
from grpc_status import rpc_status
from messplus.router.v1 import router_service_pb2_grpc

from cli.failure import CommandError

ReplyT = TypeVar("ReplyT")
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED)


def open_channel(address: str) -> grpc.Channel:
    """A channel to a service of a zoo; it connects at first use."""
    options = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000))
    return grpc.insecure_channel(address, options=options)


def ask_first(
    channels: Mapping[str, grpc.Channel],
    ask: Callable[["router_service_pb2_grpc.RouterServiceStub"], ReplyT],
) -> tuple[str, ReplyT]:
    """The address and the answer of the first router that answers; `channels` by address, in their order.

    Raises CommandError where none is there, and grpc.RpcError where the first one there answers with an
    error of its own.
    """
    reason = ""
    for address, channel in channels.items():
        try:
            return address, ask(router_service_pb2_grpc.RouterServiceStub(channel))
        except grpc.RpcError as error:
            if not is_away(error):
                raise
            reason = error.code().name
    remedy = "start the system with `messplus up`, or name its zoo with --zoo"
    raise CommandError(f"no router answers at {' or '.join(channels)} ({reason}): {remedy}")


def is_away(error: grpc.RpcError) -> bool:
    """Whether nobody answered: a service's own errors carry details, those of the way there do not."""
    return error.code() in _AWAY and rpc_status.from_call(cast(grpc.Call, error)) is None
