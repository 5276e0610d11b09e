"""The workers as this router knows them, and which models may serve a request."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.common.profile_prior import request_prior
from services.common.zoo import Zoo
from services.core.energy_model import StepLaw
from services.core.events import FloatArray
from services.core.policies.base import BoolArray
from services.router.ports import Loads, StepLaws, Worker, WorkerLoad, WorkerStatus
from services.router.requests import RouteRequest

_log = logging.getLogger(__name__)
_IDLE = WorkerLoad(0, 0)
_BYTES_PER_TOKEN = 4
"""A guess on the low side for prompts, so that only hopeless models are ruled out; workers count exactly."""
_FIRST_TOKEN_MEMORY_SECONDS = 30.0
_FIRST_TOKEN_WEIGHT = 0.2
_RECONNECT_SECONDS = 0.2
_FAILURES_BEFORE_LEAVING_OUT = 3
_FIRST_LEFT_OUT_SECONDS, _LONGEST_LEFT_OUT_SECONDS = 1.0, 60.0


@dataclass(slots=True, eq=False)
class WorkerState:
    """One worker. It outlives the fleets of which it is part: the zoo may change around it.

    Attributes:
        model_id: the model that it serves.
        address: where it is.
        worker: the way to it.
        status: what it said last.
        load: running and waiting requests as it said last.
        in_flight: generations of this router that it runs now.
        failures: generations in a row that it failed.
        left_out_until: monotonic seconds; until then other workers of its model are asked.

    """

    model_id: str
    address: str
    worker: Worker
    status: WorkerStatus = field(default_factory=lambda: WorkerStatus(False, "not reached yet"))
    load: WorkerLoad = _IDLE
    in_flight: int = 0
    failures: int = 0
    left_out_until: float = -math.inf


@dataclass(slots=True)
class _FirstToken:
    seconds: float = 0.0
    seen_at: float = -math.inf


class Fleet:
    """All workers of a zoo.

    Args:
        zoo: models and their limits.
        workers: parallel to the zoo's own.
        clock: monotonic seconds.

    """

    def __init__(
        self, zoo: Zoo, workers: Sequence[WorkerState], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = {model_id: i for i, model_id in enumerate(zoo.model_ids)}
        self._models, self._clock, self.workers = zoo.models, clock, tuple(workers)
        self._workers_of = [[w for w in workers if w.model_id == model_id] for model_id in zoo.model_ids]
        self._first_tokens = [_FirstToken() for _ in zoo.models]
        self._expected_first_tokens = [request_prior(model).first_token_seconds for model in zoo.models]
        self._windows = [model.context_window_tokens for model in zoo.models]
        costs = [model.step_energy for model in zoo.models]
        self._step_laws = [StepLaw(c.step_joules, c.decode_joules) for c in costs]
        self._ready: BoolArray = np.zeros(len(zoo.models), dtype=bool)
        self._smallest_window = 0
        self._refresh()

    def update(self, state: WorkerState, status: WorkerStatus) -> None:
        """A worker said how it is."""
        if status.ready != state.status.ready:
            _log.info(
                "worker %s is %s %s", state.address, "ready" if status.ready else "not ready:", status.detail
            )
        state.status = status
        self._refresh()

    def _refresh(self) -> None:
        ready = np.zeros(len(self._models), dtype=bool)
        for state in self.workers:
            if state.status.ready:
                index = self._index[state.model_id]
                ready[index] = True
                self._windows[index] = state.status.context_window_tokens
        self._ready = ready
        self._smallest_window = min((w for w, r in zip(self._windows, ready, strict=True) if r), default=0)

    def eligible(self, request: RouteRequest) -> BoolArray:
        """Which models may serve the request, shape (M,), in the zoo's order."""
        tokens = request.prompt_bytes // _BYTES_PER_TOKEN + request.max_tokens
        if tokens <= self._smallest_window and request.max_time_to_first_token_seconds is None:
            return self._ready
        return np.array([self._obstacle(i, request) is None for i in range(len(self._models))])

    def obstacles(self, request: RouteRequest) -> dict[str, str]:
        """Model id -> why it may not serve the request, for those that may not."""
        found = {model.id: self._obstacle(i, request) for i, model in enumerate(self._models)}
        return {model_id: why for model_id, why in found.items() if why is not None}

    def _obstacle(self, index: int, request: RouteRequest) -> str | None:
        if not self._ready[index]:
            return self.detail(index)
        tokens = request.prompt_bytes // _BYTES_PER_TOKEN + request.max_tokens
        if tokens > self._windows[index]:
            return f"about {tokens} tokens with max_tokens do not fit its window of {self._windows[index]}"
        limit, expected = request.max_time_to_first_token_seconds, self.first_token_seconds(index)
        if limit is not None and expected is not None and expected > limit:
            return f"its first token takes about {expected:.3g} s, asked for at most {limit:g} s"
        return None

    def ready(self, index: int) -> bool:
        """Whether a worker serves this model now."""
        return bool(self._ready[index])

    def detail(self, index: int) -> str:
        """Why no worker serves this model."""
        details = [s.status.detail for s in self._of(index) if not s.status.ready]
        return "; ".join(details) if details else "the zoo has no worker for it"

    def window_tokens(self, index: int) -> int:
        """Tokens that one request to this model may have."""
        return self._windows[index]

    def load(self, index: int) -> WorkerLoad:
        """Running and waiting requests of a model's workers."""
        loads = [s.load for s in self._of(index)]
        return WorkerLoad(sum(load.running for load in loads), sum(load.waiting for load in loads))

    def load_factors(self) -> FloatArray | None:
        """Joules of each model at its worker's load over those on an idle one, shape (M,); None: all are 1.

        Of the worker that would be picked, as far as its load and this router's own generations tell: one
        that says nothing counts as idle. The prompt's part is taken to shrink like that of the answer.
        """
        factors = [
            law.load_factor(self._running(index)) if law.step_joules else 1.0
            for index, law in enumerate(self._step_laws)
        ]
        return None if min(factors) == 1.0 else np.array(factors)

    def take_step_laws(self, laws: Mapping[str, StepLaw]) -> None:
        """What steps cost as measured, in place of what the zoo file says."""
        for model_id, law in laws.items():
            if model_id in self._index:
                self._step_laws[self._index[model_id]] = law

    def _running(self, index: int) -> int:
        """B: requests that would share their steps with the model's next one."""
        state = self.pick(index)
        if state is None:
            return 0
        return min(max(state.in_flight, state.load.running), max(state.status.max_batch_size - 1, 0))

    def pick(self, index: int, tried: Collection[str] = ()) -> WorkerState | None:
        """The least loaded ready worker of a model that was not tried yet.

        One that fails again and again, though it is healthy by its own account, is left out where there is
        another: failing is quick, and the least loaded worker would be the broken one.
        """
        candidates = [s for s in self._of(index) if s.status.ready and s.address not in tried]
        if len(candidates) == 1:
            return candidates[0]
        now = self._clock()
        return min(candidates, key=lambda s: (s.left_out_until > now, *_busyness(s)), default=None)

    def ended(self, state: WorkerState, failed: bool) -> None:
        """A generation on this worker ended; after three failures in a row it is left out for a while."""
        state.failures = state.failures + 1 if failed else 0
        if state.failures < _FAILURES_BEFORE_LEAVING_OUT:
            state.left_out_until = -math.inf
            return
        doublings = min(state.failures - _FAILURES_BEFORE_LEAVING_OUT, 10)
        seconds = min(_FIRST_LEFT_OUT_SECONDS * 2.0**doublings, _LONGEST_LEFT_OUT_SECONDS)
        state.left_out_until = self._clock() + seconds

    def _of(self, index: int) -> list[WorkerState]:
        return self._workers_of[index]

    def saw_first_token(self, model_id: str, seconds: float) -> None:
        """A generation of this model had its first token after this time."""
        known, now = self._first_tokens[self._index[model_id]], self._clock()
        fresh = now - known.seen_at < _FIRST_TOKEN_MEMORY_SECONDS
        known.seconds = known.seconds + _FIRST_TOKEN_WEIGHT * (seconds - known.seconds) if fresh else seconds
        known.seen_at = now

    def first_token_seconds(self, index: int) -> float | None:
        """Moving mean of a model's time to first token; if it had none lately its profile's or None.

        It is forgotten after a while, so that a model that was slow gets another chance.
        """
        known = self._first_tokens[index]
        if self._clock() - known.seen_at > _FIRST_TOKEN_MEMORY_SECONDS:
            return self._expected_first_tokens[index]
        return known.seconds


def _busyness(state: WorkerState) -> tuple[float, int]:
    slots = max(1, state.status.max_batch_size)
    return (max(state.in_flight, state.load.running + state.load.waiting) / slots, state.in_flight)


async def watch_worker(fleet: Callable[[], Fleet], state: WorkerState) -> None:
    """Follows one worker until its connection breaks, then says that it is away, to the fleet in use.

    Returns after a pause: a proxy in a worker's place refuses as fast as it is asked.
    """
    try:
        async for status in state.worker.statuses():
            fleet().update(state, status)
    finally:
        if state.status.ready:
            fleet().update(state, WorkerStatus(False, f"no connection to {state.address}"))
    await asyncio.sleep(_RECONNECT_SECONDS)


async def poll_loads(fleet: Fleet, loads: Loads, interval_seconds: float) -> None:
    """Reads once what the workers say of their load, then pauses."""
    known = [state for state in fleet.workers if state.status.worker_id]
    if known:
        for state, load in zip(known, await loads.read([s.status.worker_id for s in known]), strict=True):
            state.load = load or _IDLE
    await asyncio.sleep(interval_seconds)


async def poll_step_laws(fleet: Fleet, laws: StepLaws, interval_seconds: float) -> None:
    """Reads once what steps cost as measured, then pauses."""
    fleet.take_step_laws(await laws.read())
    await asyncio.sleep(interval_seconds)
