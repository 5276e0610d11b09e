"""The yardstick: a bare grpc.aio server with uvloop that gives back what it gets. Run with a port."""

import sys

import grpc
import uvloop
from messplus.router.v1 import router_service_pb2


async def _echo(
    request: router_service_pb2.DecideRequest,
    _context: "grpc.aio.ServicerContext[router_service_pb2.DecideRequest, router_service_pb2.DecideRequest]",
) -> router_service_pb2.DecideRequest:
    return request


async def main(port: str) -> None:
    server = grpc.aio.server()
    message = router_service_pb2.DecideRequest
    handler = grpc.unary_unary_rpc_method_handler(_echo, message.FromString, message.SerializeToString)
    server.add_registered_method_handlers("bench.Echo", {"Echo": handler})
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
