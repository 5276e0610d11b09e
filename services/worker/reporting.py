"""What a worker tells others while it runs: steps to the energy service, load to the routers.

Neither ever slows a generation: the steps wait in a bounded place, the load is simply shown again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from services.common.outages import OutageLog
from services.core.errors import StateUnavailableError
from services.worker.ports import Load, LoadBoard, StepSink
from services.worker.steps import StepRecorder, StepReport

LOOK_SECONDS = 0.01
REPORT_SECONDS = 0.1
CLOSING_SECONDS = 0.5
"""After the last step the counter still has to show it, and figures wait for a report from after that."""
IDLE_REPORT_SECONDS = 1.0
LOAD_SECONDS = 0.5
_log = logging.getLogger(__name__)


class StepReporter:
    """Sends step reports: every 0.1 s during work, at every look for a moment after it, then every second."""

    def __init__(self, recorder: StepRecorder, sink: StepSink) -> None:
        self._recorder, self._sink = recorder, sink
        self._pending: deque[StepReport] = deque()
        self._is_stopping = False
        self._warming_up = True
        self._outage = OutageLog(_log, "the energy service", "steps are kept and sent later")

    def warmed_up(self) -> None:
        """Everything up to now was loading and warming up."""
        self._pending.append(self._recorder.take(warming_up=True))
        self._warming_up = False

    async def run(self) -> None:
        """Reports until `stop`, then sends what is left and ends the stream."""
        loop = asyncio.get_running_loop()
        told = worked = -IDLE_REPORT_SECONDS
        while not self._is_stopping:
            now, is_active = loop.time(), self._recorder.active > 0
            if is_active or self._recorder.has_steps:
                worked = now
            is_closing = not is_active and now - worked < CLOSING_SECONDS
            is_due = now - told >= (REPORT_SECONDS if self._pending or is_active else IDLE_REPORT_SECONDS)
            if is_closing or is_due:
                told = now
                await self._send()
            await asyncio.sleep(LOOK_SECONDS if is_active or is_closing else REPORT_SECONDS)
        while await self._send() and (self._pending or self._recorder.has_steps):
            pass
        await self._sink.close()

    def stop(self) -> None:
        """Lets `run` end, after its next look."""
        self._is_stopping = True

    async def _send(self) -> bool:
        """Sends the oldest report; one that was not taken is sent again, before any other."""
        if not self._pending:
            self._pending.append(self._recorder.take(self._warming_up))
        taken = await self._sink.offer(self._pending[0])
        if taken:
            self._pending.popleft()
        if taken:
            self._outage.worked()
        else:
            self._outage.failed()
        return taken


class LoadReporter:
    """Shows the worker's load to the routers every half second."""

    def __init__(self, board: LoadBoard, load: Callable[[], Load]) -> None:
        self._board, self._load = board, load
        self._outage = OutageLog(_log, "Redis", "routers do not see this worker's load; it goes on serving")

    async def run(self) -> None:
        """Publishes until cancelled."""
        while True:
            await self._attempt()
            await asyncio.sleep(LOAD_SECONDS)

    async def _attempt(self) -> None:
        try:
            await self._board.publish(self._load())
        except StateUnavailableError as error:
            self._outage.failed(error)
        else:
            self._outage.worked()
