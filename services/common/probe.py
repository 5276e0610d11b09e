"""`python -m services.common.probe HOST:PORT`: whether a service says SERVING; for container health checks.

Ends with status 0 if it does, else with 1 and the reason on standard error.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2

from services.core.errors import ConfigError, ConfigProblem

TIMEOUT_SECONDS = 3.0
_CHECK = "/grpc.health.v1.Health/Check"


def problem_of(address: str, timeout_seconds: float = TIMEOUT_SECONDS) -> str:
    """Why the service at `address` is not healthy, as its standard health service says; "" where it is."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            reply = check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.RpcError as error:
            return f"{address} does not answer: {_reason(error)}"
    if reply.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"{address} says {health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)}"


def _reason(error: grpc.RpcError) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if code else repr(error)


def main(arguments: list[str]) -> str | int:
    """The exit status, or why it is not 0. Raises ConfigError when called wrongly."""
    if len(arguments) != 1:
        problem = ConfigProblem("command line", "HOST:PORT", str(arguments), "must be exactly one address")
        raise ConfigError([problem])
    return problem_of(arguments[0]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
