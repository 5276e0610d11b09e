"""Times requests of a grid at an endpoint, one at a time."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cli.measure.endpoint import Endpoint, EndpointError
from cli.measure.joules import JouleReader
from cli.measure.prompts import Prompts, token_scale
from cli.measure.timed_file import Timed, TimedFile
from planner.runtime.fitting import Measurement
from planner.runtime.grid import Cell, Grid, same_length
from planner.runtime.profile import Tier


@dataclass(frozen=True, slots=True)
class Budget:
    """What a profile may cost at most.

    Attributes:
        requests: to measure, warm-up left out.
        seconds: after which no further request is sent.
        warm_up: requests before anything is measured.

    """

    requests: int
    seconds: float
    warm_up: int


class Profiling:
    """Measures what a file does not have yet of a grid, within a budget."""

    def __init__(
        self, endpoint: Endpoint, joules: JouleReader | None, kept: TimedFile, prompts: Prompts
    ) -> None:
        self._endpoint, self._joules, self._kept, self._prompts = endpoint, joules, kept, prompts

    async def run(self, grid: Grid, budget: Budget, measured: Callable[[], None]) -> bool:
        """Measures; calls `measured` after every request. Returns whether the whole grid is measured.

        Raises EndpointError that names the file with what was measured until then.
        """
        deadline = time.monotonic() + budget.seconds
        left = list(grid.rounds(dict(Counter(timed.cell for timed in self._kept.timed)), seed=0))
        if not left:
            return True
        try:
            for _ in range(budget.warm_up):
                await self._endpoint.answer(self._prompts.of_words(min(grid.prompt_tokens)), max_tokens=2)
            scale = await token_scale(self._endpoint, self._prompts)
            for number, cell in enumerate(left):
                if number >= budget.requests or time.monotonic() > deadline:
                    return False
                self._kept.add(Timed(cell, await self._measure(cell, scale.words(cell[0]))))
                measured()
        except EndpointError as error:
            raise EndpointError(f"{str(error).rstrip('.')}{self._resumable()}") from error
        return True

    async def _measure(self, cell: Cell, words: int) -> Measurement:
        wanted_prompt, wanted_output = cell
        reply = await self._endpoint.answer(self._prompts.of_words(words), wanted_output)
        if reply.prompt_tokens < 1 or reply.output_tokens < 1:
            counts = f"{reply.prompt_tokens} uncached prompt and {reply.output_tokens} output tokens"
            raise EndpointError(f"the endpoint reports {counts} for a prompt of {words} words")
        known = [t.measurement.prompt_tokens for t in self._kept.timed if t.cell[0] == wanted_prompt]
        prompt = same_length(known, reply.prompt_tokens)
        if self._joules is None:
            return Measurement(prompt, reply.output_tokens, reply.seconds)
        found = await self._joules.of_request(reply.request_id)
        return Measurement(prompt, reply.output_tokens, reply.seconds, found.joules, Tier(found.quality))

    def _resumable(self) -> str:
        if not self._kept.timed:
            return ""
        return (
            f". {len(self._kept.timed)} requests are measured and kept in {self._kept.path}: "
            f"run the command again with --save {self._kept.path}, and it goes on from there"
        )
