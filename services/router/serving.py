"""Serves one request: decide, run on a worker, go to the next best model while nothing was sent, explore."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from services.common.telemetry import span
from services.core.errors import NoEligibleModelError, OverloadedError, WorkerFailedError
from services.core.events import EnergyAttributed, Redecision, Role
from services.router.commits import Commits
from services.router.deciding import Decided, Deciding
from services.router.fleet import Fleet
from services.router.outcomes import Progress
from services.router.ports import EnergyFigures, LogEntry
from services.router.refusals import Refusal, WorkerRefusal
from services.router.requests import Ended, Generation, Piece, RouteRequest, Started, Text
from services.router.running import Explorations, Running

_RETRY_SECONDS = 1.0
_ENERGY_WAIT_SHARE = 0.1
_SHORTEST_ENERGY_WAIT_SECONDS, _LONGEST_ENERGY_WAIT_SECONDS = 0.02, 0.2
"""A finished answer waits for its joules a tenth of what it took, but never longer than the second figure,
and not at all where that is less than the first: asking alone would take as long."""


@dataclass(slots=True)
class _Attempt:
    """The generation that is being tried, and what was tried before it.

    Attributes:
        index: of its model.
        generation_id: its id.
        charged_satisfaction: what its model is predicted to give.
        tried_workers: addresses.
        refusals: model id -> how it failed.

    """

    index: int
    generation_id: str
    charged_satisfaction: float
    tried_workers: set[str] = field(default_factory=set)
    refusals: dict[str, WorkerRefusal] = field(default_factory=dict)


class Serving:
    """Routes and runs requests.

    Args:
        deciding: decides and records.
        fleet: workers.
        running: runs generations.
        explorations: runs those that are only learned from.
        commits: the way into the log.
        energy: attributed joules.

    """

    def __init__(
        self,
        deciding: Deciding,
        fleet: Fleet,
        running: Running,
        explorations: Explorations,
        commits: Commits,
        energy: EnergyFigures,
    ) -> None:
        self._deciding, self._fleet, self._running = deciding, fleet, running
        self._explorations, self._commits, self._energy = explorations, commits, energy

    async def serve(
        self, request: RouteRequest, work: Generation, timeout_seconds: float | None
    ) -> AsyncGenerator[Piece, None]:
        """The decision with the first text of the model that answers, more texts, the end.

        Raises NoEligibleModelError, OverloadedError, WorkerFailedError.
        """
        deadline = self._running.clock() + (timeout_seconds or self._running.timeout_seconds)
        with span("messplus.decide"):
            decided = await self._deciding.decide(request)
        event = decided.choice.event
        attempt = _Attempt(
            event.model_ids.index(event.model_id), event.generation_id, event.charged_satisfaction
        )
        self._explore(decided, work)
        while True:
            progress = self._progress(decided, attempt)
            try:
                async with aclosing(self._attempt(decided, attempt, progress, work, deadline)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except WorkerRefusal as refusal:
                if progress.first_token_at is not None or refusal.kind is Refusal.LATE:
                    raise WorkerFailedError(progress.model_id, progress.tokens, refusal.reason) from None
                attempt.refusals[progress.model_id] = refusal
                self._fail_over(decided, attempt, refusal)

    async def _attempt(
        self, decided: Decided, attempt: _Attempt, progress: Progress, work: Generation, deadline: float
    ) -> AsyncGenerator[Piece, None]:
        state = self._fleet.pick(attempt.index, attempt.tried_workers)
        if state is None:
            raise WorkerRefusal(Refusal.BROKEN, self._fleet.detail(attempt.index))
        attempt.tried_workers.add(state.address)
        generations = 1 + len(decided.choice.event.explored_generations)
        seconds = deadline - self._running.clock()
        texts = self._running.stream(state, progress, work, Role.SERVED, generations, seconds)
        announced = False
        async with aclosing(texts) as stream:
            async for text in stream:
                if not announced:
                    announced = True
                    yield _started(decided, attempt)
                if text:  # a token may have none, and clients in some languages see none as undefined
                    yield Text(text)
        if not announced:
            yield _started(decided, attempt)
        yield await self._ended(progress)

    def _progress(self, decided: Decided, attempt: _Attempt) -> Progress:
        event = decided.choice.event
        return Progress(
            event.request_id,
            attempt.generation_id,
            event.model_ids[attempt.index],
            event.sla_class,
            event.energy_joules[attempt.index],
            event.traceparent,
            self._running.clock(),
        )

    def _explore(self, decided: Decided, work: Generation) -> None:
        event = decided.choice.event
        for generation in event.explored_generations:
            attempt = _Attempt(event.model_ids.index(generation.model_id), generation.generation_id, 0.0)
            self._explorations.start(
                self._running,
                self._fleet.pick(attempt.index),
                self._progress(decided, attempt),
                work,
                1 + len(event.explored_generations),
            )

    def _fail_over(self, decided: Decided, attempt: _Attempt, refusal: WorkerRefusal) -> None:
        """Turns to another worker of the model, else to the next best model, and records it.

        Raises the error for the client where nobody is left.
        """
        event = decided.choice.event
        failed_model, failed_generation = event.model_ids[attempt.index], attempt.generation_id
        previous = attempt.charged_satisfaction
        if self._fleet.pick(attempt.index, attempt.tried_workers) is None:
            excluded = np.array(
                [self._fleet.pick(i, attempt.tried_workers) is None for i in range(len(event.model_ids))]
            )
            index = decided.choice.next_best(excluded)
            if index is None:
                raise _nobody_left(attempt.refusals)
            attempt.index = index
        attempt.generation_id = f"{event.request_id}.r{len(attempt.tried_workers)}"
        attempt.charged_satisfaction = event.satisfaction_means[attempt.index]
        self._record(
            Redecision(
                event.request_id,
                event.sla_class,
                failed_model,
                failed_generation,
                event.model_ids[attempt.index],
                attempt.generation_id,
                attempt.charged_satisfaction,
                previous,
                refusal.reason,
                event.traceparent,
            )
        )

    def _record(self, event: Redecision) -> None:
        debt_change = event.previous_charged_satisfaction - event.charged_satisfaction
        self._commits.submit(LogEntry(event, event.sla_class, debt_change))

    async def _ended(self, progress: Progress) -> Ended:
        end, latency = progress.end, self._running.clock() - progress.began_at
        if end is None:
            raise AssertionError("a stream that ends without a refusal has its worker's last message")
        return Ended(
            progress.request_id,
            end.finish_reason,
            end.prompt_tokens,
            end.cached_prompt_tokens,
            end.completion_tokens,
            progress.first_token_seconds,
            latency,
            await self._joules(progress, latency),
        )

    async def _joules(self, progress: Progress, latency: float) -> EnergyAttributed:
        """The attributed joules if they are there in a fraction of the answer's time, else the expected."""
        wait = min(_LONGEST_ENERGY_WAIT_SECONDS, _ENERGY_WAIT_SHARE * latency)
        if wait >= _SHORTEST_ENERGY_WAIT_SECONDS:
            found = await self._energy.of_generation(progress.request_id, progress.generation_id, wait)
            if found is not None:
                return found
        return EnergyAttributed(
            progress.request_id,
            progress.generation_id,
            progress.model_id,
            progress.expected_energy_joules,
            quality="ESTIMATED",
            method="energy-model",
            tier="D",
        )


def _started(decided: Decided, attempt: _Attempt) -> Started:
    """The decision with the model that really answers."""
    started, event = decided.started, decided.choice.event
    if attempt.generation_id == started.generation_id:
        return started
    return Started(
        started.request_id,
        attempt.generation_id,
        event.model_ids[attempt.index],
        started.sla_class,
        event.energy_joules[attempt.index],
        attempt.charged_satisfaction,
        started.explored,
        started.degraded,
        started.snapshot_version,
        started.explored_models,
        started.step,
    )


def _nobody_left(refusals: dict[str, WorkerRefusal]) -> NoEligibleModelError | OverloadedError:
    if all(refusal.kind is Refusal.BUSY for refusal in refusals.values()):
        return OverloadedError(
            f"the queue of every model that may answer ({', '.join(refusals)})", _RETRY_SECONDS
        )
    return NoEligibleModelError({model_id: refusal.reason for model_id, refusal in refusals.items()})
