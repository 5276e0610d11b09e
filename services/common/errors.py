"""One table from the error tree to gRPC statuses with typed details."""

from collections.abc import Sequence
from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.core import errors

DOMAIN = "messplus"
DETAILS_KEY = "grpc-status-details-bin"
# A status travels in headers: clients drop a call with more than 8 KiB of them, and there a byte of the
# message may take three, one of the details four thirds.
_MAX_MESSAGE_BYTES = 1000
_MAX_VIOLATIONS_BYTES = 2000
_MAX_TEXT_BYTES = 256
_MAX_REASONS = 8

CODES: dict[type[errors.MessPlusError], grpc.StatusCode] = {
    errors.InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.NoEligibleModelError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.WorkerFailedError: grpc.StatusCode.UNAVAILABLE,
    errors.EngineError: grpc.StatusCode.UNAVAILABLE,
    errors.EngineUnreachableError: grpc.StatusCode.UNAVAILABLE,
    errors.WrongServerError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnknownServerModelError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServerDeniedError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServerBusyError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.BrokenStreamError: grpc.StatusCode.UNAVAILABLE,
    # Not DEADLINE_EXCEEDED: that is the caller's deadline, after which nobody tries elsewhere.
    errors.EngineTimeoutError: grpc.StatusCode.UNAVAILABLE,
    errors.StateUnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.ConfigError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InvalidSnapshotError: grpc.StatusCode.DATA_LOSS,
    errors.FencedOutError: grpc.StatusCode.ABORTED,
    errors.ModelStoreError: grpc.StatusCode.FAILED_PRECONDITION,
}


def status_of(error: errors.MessPlusError) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """The gRPC code of an error and its `google.rpc.Status` with details.

    Where an engine's error is known to be the cause of a failed generation, code and reason are that one's.
    """
    code = CODES.get(type(_cause(error)), grpc.StatusCode.INTERNAL)
    status = status_pb2.Status(
        code=code_pb2.Code.Value(code.name), message=_cut(str(error), _MAX_MESSAGE_BYTES)
    )
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return code, status


def _cause(error: errors.MessPlusError) -> errors.MessPlusError:
    return (error.cause or error) if isinstance(error, errors.WorkerFailedError) else error


def _details(error: errors.MessPlusError) -> list[Message]:
    cause = _cause(error)
    reason = type(error if type(cause) is errors.EngineError else cause).__name__.removesuffix("Error")
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)
    match error:
        case errors.InvalidRequestError():
            return [info, _bad_request(error.violations)]
        case errors.OverloadedError():
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(int(error.retry_after_seconds * 1000))
            return [info, error_details_pb2.RetryInfo(retry_delay=delay)]
        case errors.WorkerFailedError():
            info.metadata.update({"model_id": error.model_id, "tokens_sent": str(error.tokens_sent)})
        case errors.NoEligibleModelError():
            reasons = list(error.reasons.items())[:_MAX_REASONS]
            info.metadata.update({model: _cut(why, _MAX_TEXT_BYTES) for model, why in reasons})
        case errors.StateUnavailableError() if error.recorded is not None:
            info.metadata["recorded"] = str(error.recorded)
        case errors.NotFoundError():
            name = _cut(error.name, _MAX_TEXT_BYTES)
            return [info, error_details_pb2.ResourceInfo(resource_type=error.kind, resource_name=name)]
        case _:
            pass
    return [info]


def _bad_request(violations: Sequence[errors.FieldViolation]) -> error_details_pb2.BadRequest:
    """As many violations as fit, the first ones first; at least one."""
    request = error_details_pb2.BadRequest()
    for violation in violations:
        found = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field, _MAX_TEXT_BYTES),
            description=_cut(violation.description, _MAX_MESSAGE_BYTES),
        )
        if request.ByteSize() + found.ByteSize() > _MAX_VIOLATIONS_BYTES:
            break
        request.field_violations.append(found)
    return request


def _cut(text: str, limit_bytes: int) -> str:
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return text
    return encoded[: limit_bytes - 3].decode("utf-8", "ignore") + "..."


async def abort(context: grpc.aio.ServicerContext, error: errors.MessPlusError) -> NoReturn:  # type: ignore[type-arg]
    """Ends the call with the error's status; the details travel in the trailing metadata."""
    code, status = status_of(error)
    await context.abort(code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError("abort always raises")
