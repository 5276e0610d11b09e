"""The one error of this client."""

from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class RequestFailed(Exception):
    """A call that did not succeed.

    Attributes:
        code: the gRPC status.
        message: the service's words.
        violations: per wrong field what is wrong with it and what is allowed.
        retry_after_seconds: when to come back, where the service says so.

    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        violations: dict[str, str],
        retry_after_seconds: float | None,
    ) -> None:
        named = "".join(f"; {field}: {found}" for field, found in violations.items())
        super().__init__(f"{code.name}: {message}{named}")
        self.code, self.message, self.violations = code, message, violations
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of(cls, error: Any) -> "RequestFailed":
        """What an error of gRPC (a `grpc.RpcError` that is a call) says, with the details that came along."""
        violations: dict[str, str] = {}
        retry_after: float | None = None
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
            if detail.Unpack(bad):
                violations |= {each.field: each.description for each in bad.field_violations}
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        return cls(error.code(), error.details() or "", violations, retry_after)
