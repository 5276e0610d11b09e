"""The measurements of a demo: the routed run, then every model alone on the same prompts."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from messplus.router.v1 import router_service_pb2_grpc
from messplus.worker.v1 import worker_service_pb2_grpc

from cli.demo.prompts import DemoPrompt
from cli.demo.records import BaselineAnswer
from cli.demo.requests import Answer, ask, each_bounded, route
from cli.demo.run_log import RunLog
from cli.failure import CommandError
from services.common.zoo import Zoo
from services.feedback.adapters.reference_labeler import METRICS

SETTLE_SECONDS = 60.0
"""How long labels and joules may take to arrive after the last answer."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class RoutedRun:
    """The routed run: request id -> its prompt, and how long it took."""

    prompts: Mapping[str, DemoPrompt]
    duration_seconds: float


async def routed_run(
    zoo: Zoo, prompts: Sequence[DemoPrompt], log: RunLog, on_answer: Callable[[], None]
) -> RoutedRun:
    """Sends every prompt through the router and waits until all labels and joules are in the log."""
    sent: dict[str, DemoPrompt] = {}
    began = time.monotonic()
    async with grpc.aio.insecure_channel(zoo.router_addresses[0]) as channel:
        stub = router_service_pb2_grpc.RouterServiceStub(channel)

        async def send(_: int, prompt: DemoPrompt) -> None:
            sent[await route(stub, prompt)] = prompt
            on_answer()

        await each_bounded(prompts, send)
    duration_seconds = time.monotonic() - began
    await _settled(lambda: log.decided == len(prompts) and not log.gaps(), lambda: _still_missing(log))
    return RoutedRun(sent, duration_seconds)


async def baseline_run(
    zoo: Zoo, prompts: Mapping[str, DemoPrompt], log: RunLog, on_answer: Callable[[], None]
) -> dict[str, dict[str, BaselineAnswer]]:
    """Has every model answer every prompt, at the routed run's load per model.

    Returns model id -> request id -> answer. The calls go to the workers under ids of their own, so the
    learned state does not see them.
    """
    places = {worker.model: worker.address for worker in zoo.workers}
    answered = await asyncio.gather(
        *(_ask_all(model, place, prompts, on_answer) for model, place in places.items())
    )
    awaited = {answer.generation_id for answers in answered for answer in answers.values()}

    def unmeasured() -> set[str]:
        return awaited - log.other_joules().keys()

    await _settled(lambda: not unmeasured(), lambda: f"energy of {len(unmeasured())} baseline answers")
    joules = log.other_joules()
    return {
        model: {
            request_id: BaselineAnswer(
                satisfaction=METRICS[prompts[request_id].metric](prompts[request_id].reference, answer.text),
                energy_joules=joules[answer.generation_id],
            )
            for request_id, answer in answers.items()
        }
        for model, answers in zip(places, answered, strict=True)
    }


async def _ask_all(
    model: str, place: str, prompts: Mapping[str, DemoPrompt], on_answer: Callable[[], None]
) -> dict[str, Answer]:
    request_ids, answers = list(prompts), {}
    async with grpc.aio.insecure_channel(place) as channel:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)

        async def send(number: int, prompt: DemoPrompt) -> None:
            request_id = request_ids[number]
            answers[request_id] = await ask(stub, prompt, f"baseline-{model}-{number}")
            on_answer()

        await each_bounded(list(prompts.values()), send)
    return answers


async def _settled(complete: Callable[[], bool], missing: Callable[[], str]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not complete():
        if time.monotonic() > deadline:
            raise CommandError(f"after {SETTLE_SECONDS:g} s still missing: {missing()}")
        await asyncio.sleep(_POLL_SECONDS)


def _still_missing(log: RunLog) -> str:
    return ", ".join(f"{gap} of {count} requests" for gap, count in log.gaps().items()) or "decisions"
