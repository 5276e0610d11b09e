"""Load on replicas: as many requests in flight as they have slots, or arrivals at a rate."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.measure.endpoint import Endpoint, EndpointError
from planner.replies import Reply


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the replicas.

    Attributes:
        prompt: makes the next prompt.
        max_tokens: of every answer.
        slots: requests that one replica runs at once.
        rate: arrivals per second over all replicas, > 0; None: closed loop, every slot always has a request.

    """

    prompt: Callable[[], str]
    max_tokens: int
    slots: int
    rate: float | None = None


class Load:
    """Requests to replicas from the start of `run` until `stop`; `replies` are all that were answered."""

    def __init__(self, replicas: Sequence[Endpoint], demand: Demand, seed: int) -> None:
        self._replicas, self._demand, self._random = replicas, demand, random.Random(seed)
        self._in_flight = [0] * len(replicas)
        self._stopped = asyncio.Event()
        self.replies: list[Reply] = []

    def stop(self) -> None:
        """Sends nothing more; `run` returns once the last answer is complete."""
        self._stopped.set()

    async def run(self) -> None:
        """Sends until stopped. Raises EndpointError where a request fails, the first if several do."""
        try:
            async with asyncio.TaskGroup() as group:
                self._begin(group)
        except* EndpointError as errors:
            raise errors.exceptions[0] from None

    def _begin(self, group: asyncio.TaskGroup) -> None:
        if self._demand.rate is not None:
            group.create_task(self._arrivals(group, self._demand.rate))
            return
        for number in range(len(self._replicas)):
            for _ in range(self._demand.slots):
                group.create_task(self._again_and_again(number))

    async def _again_and_again(self, number: int) -> None:
        while not self._stopped.is_set():
            await self._send(number)

    async def _arrivals(self, group: asyncio.TaskGroup, rate: float) -> None:
        """Poisson arrivals, each to the replica with the fewest requests."""
        while not await self._stopped_within(self._random.expovariate(rate)):
            number = min(range(len(self._replicas)), key=self._in_flight.__getitem__)
            group.create_task(self._send(number))

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _send(self, number: int) -> None:
        self._in_flight[number] += 1
        try:
            reply = await self._replicas[number].answer(self._demand.prompt(), self._demand.max_tokens)
            self.replies.append(reply)
        finally:
            self._in_flight[number] -= 1
