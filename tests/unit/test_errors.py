"""Every error of the tree has one status, with details that a program can read."""

import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from services.common.errors import CODES, status_of
from services.core import errors


def subclasses(root: type) -> set[type]:
    return {root, *(s for child in root.__subclasses__() for s in subclasses(child))}


def test_every_error_has_a_status() -> None:
    tree = {kind for kind in subclasses(errors.MessPlusError) if kind.__module__ == errors.__name__}
    assert set(CODES) == tree - {errors.MessPlusError}


def test_field_violations_travel() -> None:
    violations = [errors.FieldViolation("prompt", "is empty"), errors.FieldViolation("top_p", "2 is above 1")]
    code, status = status_of(errors.InvalidRequestError(violations))
    bad_request = error_details_pb2.BadRequest()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.details[1].Unpack(bad_request)
    assert [v.field for v in bad_request.field_violations] == ["prompt", "top_p"]


def test_a_failed_worker_names_its_model_and_tokens() -> None:
    code, status = status_of(errors.WorkerFailedError("large", 7, "connection reset"))
    info = error_details_pb2.ErrorInfo()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert status.details[0].Unpack(info)
    assert dict(info.metadata) == {"model_id": "large", "tokens_sent": "7"}


@pytest.mark.parametrize("seconds", [0.25, 3.0])
def test_overload_says_when_to_come_back(seconds: float) -> None:
    code, status = status_of(errors.OverloadedError("the queue", seconds))
    retry = error_details_pb2.RetryInfo()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == seconds * 1000


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError([errors.FieldViolation(f"turn[{i}]", "is 'ä', " * 20) for i in range(99)]),
        errors.NotFoundError("request", "\u4e2d" * 100_000),
        errors.NoEligibleModelError({f"model-{i}": "\u4e2d" * 1000 for i in range(50)}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_status_fits_into_the_headers_that_clients_accept(error: errors.MessPlusError) -> None:
    _, status = status_of(error)
    headers = len(quote(status.message)) + len(base64.b64encode(status.SerializeToString()))
    assert headers < 8192 - 512
    assert all(detail.value for detail in status.details)
