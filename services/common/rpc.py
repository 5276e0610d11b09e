"""What surrounds every RPC: its span, its error status, and requests that are no messages.

`instrument` wraps a servicer's methods once, when it is registered, instead of adding server
interceptors, which cost every call (see docs/adr/0002-wrapped-servicers.md). `tolerant` gives a servicer
the chance to refuse bytes that gRPC would refuse with a status that tells the client nothing.
"""

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.common.errors import abort
from services.common.observed_rpc import ObservedMethod
from services.common.telemetry import is_tracing
from services.core.errors import FieldViolation, InvalidRequestError, MessPlusError

_log = logging.getLogger(__name__)
_INTERNAL = "internal error; the service's log has the details"

Context = grpc.aio.ServicerContext


def instrument(servicer: object, service: str) -> None:
    """Wraps every RPC of `servicer`, an implementation of the full service name `service`."""
    for name in _rpc_names(servicer):
        method = getattr(servicer, name)
        wrap = _wrap_stream if _is_stream(method) else _wrap_unary
        setattr(servicer, name, wrap(method, f"{service}/{name}"))


def _rpc_names(servicer: object) -> Iterable[str]:
    """Methods that the generated base class declares; the base class stands in the bases."""
    generated = [base for base in type(servicer).__mro__ if base.__module__.endswith("_pb2_grpc")]
    return [name for base in generated for name in vars(base) if not name.startswith("_")]


def _is_stream(method: Callable[..., Any]) -> bool:
    return inspect.isasyncgenfunction(method)


def _wrap_unary(
    method: Callable[[Any, Any], Awaitable[Any]], full_method: str
) -> Callable[[Any, Any], Awaitable[Any]]:
    observed = ObservedMethod(full_method)
    # The generated base classes name a client's stream so.
    has_stream = "request_iterator" in inspect.signature(method).parameters

    async def call(request: Any, context: Context[Any, Any]) -> Any:
        try:
            return await method(_checked(request) if has_stream else request, context)
        except Exception as error:
            return await _end(error, request, context, full_method)

    async def traced(request: Any, context: Context[Any, Any]) -> Any:
        with observed.call(context):
            try:
                return await method(_checked(request) if has_stream else request, context)
            except Exception as error:
                return await _end(error, request, context, full_method)

    return traced if is_tracing() else call


def _wrap_stream(
    method: Callable[[Any, Any], AsyncGenerator[Any, None]], full_method: str
) -> Callable[[Any, Any], Awaitable[None]]:
    """Writes by itself, so that the method's generator is closed at once when the client leaves."""
    observed = ObservedMethod(full_method)

    async def answer(request: Any, context: Context[Any, Any]) -> None:
        try:
            async with aclosing(method(request, context)) as responses:
                async for response in responses:
                    await context.write(response)
        except Exception as error:
            await _end(error, request, context, full_method)

    async def traced(request: Any, context: Context[Any, Any]) -> None:
        with observed.call(context):
            await answer(request, context)

    return traced if is_tracing() else answer


async def _checked(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The messages of a client's stream. Raises InvalidRequestError at the first that is none."""
    async for message in messages:
        if isinstance(message, MalformedRequest):
            raise InvalidRequestError([message.violation])
        yield message


async def _end(error: Exception, request: Any, context: Context[Any, Any], full_method: str) -> None:
    """Ends a call whose method raised, with the status that the error deserves."""
    if isinstance(request, MalformedRequest):
        await abort(context, InvalidRequestError([request.violation]))
    if isinstance(error, MessPlusError):
        await abort(context, error)
    if isinstance(error, grpc.aio.AbortError | grpc.aio.UsageError):
        raise error
    _log.error("%s failed", full_method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, _INTERNAL)


@dataclass(frozen=True, slots=True)
class MalformedRequest:
    """Stands for bytes that are not the request's message; whoever touches it ends the call."""

    violation: FieldViolation


class TolerantServer:
    """A server to register a servicer with, so that bytes that are no message become INVALID_ARGUMENT.

    gRPC itself ends such a call with INTERNAL, and one that exceeds its own limit with RESOURCE_EXHAUSTED.
    """

    def __init__(self, server: grpc.aio.Server, max_message_bytes: int) -> None:
        self._server, self._max_message_bytes = server, max_message_bytes

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As a server's; every handler's requests are read tolerantly."""
        self._server.add_generic_rpc_handlers(
            tuple(_TolerantHandler(handler, self._max_message_bytes) for handler in handlers)
        )

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """As an asyncio server's: nothing to do."""


class _TolerantHandler(grpc.GenericRpcHandler):
    def __init__(self, handler: grpc.GenericRpcHandler, max_message_bytes: int) -> None:
        self._handler, self._max_message_bytes = handler, max_message_bytes
        self._known: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method not in self._known:
            found: Any = self._handler.service(handler_call_details)
            if found is None:
                return None
            self._known[method] = found._replace(
                request_deserializer=_tolerant(found.request_deserializer, self._max_message_bytes)
            )
        return self._known[method]


def _tolerant(deserialize: Callable[[bytes], Any], max_message_bytes: int) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if len(data) > max_message_bytes:
            found = f"has {len(data)} bytes, allowed: at most {max_message_bytes}"
            return MalformedRequest(FieldViolation("message", found))
        try:
            return deserialize(data)
        except DecodeError:
            found = "is not a valid message of this RPC, allowed: its protobuf message with UTF-8 strings"
            return MalformedRequest(FieldViolation("message", found))

    return read
