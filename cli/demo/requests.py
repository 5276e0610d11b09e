"""Sends the demo's prompts: through the router, and past it straight to a worker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2, router_service_pb2_grpc
from messplus.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from cli.demo.prompts import DemoPrompt
from cli.failure import CommandError

MAX_TOKENS = 32
IN_FLIGHT = 3
"""Requests at once, in the routed run and per model in the baselines: the same load for everyone."""
CALL_SECONDS = 180.0
SAMPLING = common_pb2.SamplingParameters(max_tokens=MAX_TOKENS, temperature=0.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a prompt."""

    generation_id: str
    text: str


async def each_bounded(
    prompts: Sequence[DemoPrompt], send: Callable[[int, DemoPrompt], Awaitable[None]]
) -> None:
    """Calls `send` for every prompt with its number, in order, at most `IN_FLIGHT` at once.

    Raises what `send` raises, after cancelling the others.
    """
    numbered = iter(enumerate(prompts))

    async def worker() -> None:
        for number, prompt in numbered:
            await send(number, prompt)

    tasks = [asyncio.create_task(worker()) for _ in range(IN_FLIGHT)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def route(stub: "router_service_pb2_grpc.RouterServiceAsyncStub", prompt: DemoPrompt) -> str:
    """Sends a prompt with its reference through the router. Returns the request id that it was given.

    Raises CommandError when the router fails.
    """
    reference = common_pb2.ReferenceAnswer(text=prompt.reference, metric=prompt.metric)
    request = router_service_pb2.GenerateRequest(
        prompt=common_pb2.Prompt(text=prompt.text),
        sampling=SAMPLING,
        labeling=router_service_pb2.LabelingOptions(reference=reference),
    )
    request_id = ""
    try:
        async for response in stub.Generate(request, timeout=CALL_SECONDS):
            if response.WhichOneof("event") == "decision":
                request_id = response.decision.request_id
    except grpc.aio.AioRpcError as error:
        raise _failed("the router", error) from error
    return request_id


async def ask(
    stub: "worker_service_pb2_grpc.WorkerServiceAsyncStub", prompt: DemoPrompt, request_id: str
) -> Answer:
    """Has a worker answer a prompt, unseen by the router. Raises CommandError when it fails."""
    generation_id = f"{request_id}-0"
    request = worker_service_pb2.GenerateRequest(
        request_id=request_id,
        generation_id=generation_id,
        prompt=common_pb2.Prompt(text=prompt.text),
        sampling=SAMPLING,
    )
    text = ""
    try:
        async for response in stub.Generate(request, timeout=CALL_SECONDS):
            if response.WhichOneof("event") == "delta":
                text += response.delta.text
    except grpc.aio.AioRpcError as error:
        raise _failed("a worker", error) from error
    return Answer(generation_id, text)


def _failed(who: str, error: grpc.aio.AioRpcError) -> CommandError:
    return CommandError(f"{who} failed with {error.code().name}: {error.details()}")
