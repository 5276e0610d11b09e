"""The connections to workers: kept over changes of the zoo, made for new workers, ended for removed ones."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from services.common.server import cancel, forever
from services.common.zoo import Zoo
from services.router.fleet import Fleet, WorkerState, watch_worker
from services.router.ports import Worker

_RETRY_SECONDS = 0.2
_POLL_SECONDS = 0.05
_READY_SECONDS = 10.0
_SETTLE_SECONDS = 1.0
"""A request that was decided for a removed worker begins there within this time."""
_log = logging.getLogger(__name__)


class Workers:
    """All workers that this router is connected to, each watched in the background.

    Args:
        connect: the way to a worker, by address and model.
        fleet: the fleet in use; it hears how its workers are.
        longest_seconds: of one generation; a removed worker is let go of then at the latest.

    """

    def __init__(
        self, connect: Callable[[str, str], Worker], fleet: Callable[[], Fleet], longest_seconds: float
    ) -> None:
        self._connect, self._fleet, self._longest_seconds = connect, fleet, longest_seconds
        self._states: dict[tuple[str, str], WorkerState] = {}
        self._watches: dict[WorkerState, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def of(self, zoo: Zoo) -> list[WorkerState]:
        """The zoo's workers, in its order; new ones are connected to."""
        return [self._state(worker.model, worker.address) for worker in zoo.workers]

    def _state(self, model_id: str, address: str) -> WorkerState:
        place = (model_id, address)
        if place not in self._states:
            self._states[place] = WorkerState(model_id, address, self._connect(address, model_id))
        return self._states[place]

    def watch(self) -> None:
        """Follows every worker that is not followed yet."""
        for state in self._states.values():
            if state not in self._watches:
                body = partial(watch_worker, self._fleet, state)
                self._watches[state] = forever(f"worker {state.address}", body, _RETRY_SECONDS)

    async def reached(self, states: Sequence[WorkerState]) -> None:
        """Returns once all of these are ready, or after some seconds, saying which are not."""
        await _until(lambda: all(state.status.ready for state in states), _READY_SECONDS)
        for state in states:
            if not state.status.ready:
                _log.warning("worker %s is not ready yet: %s", state.address, state.status.detail)

    def keep_only(self, states: Sequence[WorkerState]) -> None:
        """Lets go of all others once their running generations have ended."""
        for place, state in list(self._states.items()):
            if state not in states:
                del self._states[place]
                task = asyncio.create_task(self._let_go(state), name=f"letting go of {state.address}")
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    async def _let_go(self, state: WorkerState) -> None:
        try:
            await asyncio.sleep(_SETTLE_SECONDS)
            await _until(lambda: not state.in_flight, self._longest_seconds)
        finally:
            await self._end(state)
            _log.info("let go of worker %s, which the zoo no longer has", state.address)

    async def _end(self, state: WorkerState) -> None:
        if (watch := self._watches.pop(state, None)) is not None:
            await cancel([watch])
        await state.worker.close()

    async def close(self) -> None:
        """Ends all connections."""
        await cancel(list(self._leaving))
        for state in self._states.values():
            await self._end(state)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Returns once it holds, or after this time."""
    now = asyncio.get_running_loop().time
    deadline = now() + seconds
    while not condition() and now() < deadline:
        pause = min(_POLL_SECONDS, deadline - now())
        await asyncio.sleep(max(0.0, pause))
