"""The yardstick of a relay: a bare grpc.aio stream with uvloop whose messages say when they were sent.

Run with a port; the method is bench.Stream/Stream, max_tokens of the request the number of messages, 10 ms
apart.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import grpc
import uvloop
from messplus.worker.v1 import worker_service_pb2

PAUSE_SECONDS = 0.01


async def _stream(
    request: worker_service_pb2.GenerateRequest, _context: object
) -> AsyncIterator[worker_service_pb2.GenerateResponse]:
    for _ in range(request.sampling.max_tokens):
        await asyncio.sleep(PAUSE_SECONDS)
        delta = worker_service_pb2.TextDelta(text=f"{time.monotonic_ns()} ", token_count=1)
        yield worker_service_pb2.GenerateResponse(delta=delta)


async def main(port: str) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        _stream,
        worker_service_pb2.GenerateRequest.FromString,
        worker_service_pb2.GenerateResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Stream", {"Stream": handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
