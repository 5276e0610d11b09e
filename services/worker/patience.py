"""A time limit on every wait of a task, for the price of about one timer in all."""

import asyncio
import math
from types import TracebackType
from typing import Self


class Patience:
    """Ends waits that take too long: `with patience.at_most(seconds): await ...` raises TimeoutError.

    `asyncio.timeout` sets and cancels a timer for every wait. The timer here goes off once per limit or so,
    and then looks how long the present wait may still take. `close` it when no wait is to come.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._due, self._cancelling, self._is_over = math.inf, 0, False

    def at_most(self, seconds: float) -> Self:
        """Limits the next wait of the running task."""
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._due = self._loop.time() + seconds
        if self._alarm is None or self._alarm.when() > self._due:
            self._set_alarm()
        return self

    def close(self) -> None:
        """Takes the timer back."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def __enter__(self) -> None:
        """The wait begins."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The wait is over. Raises TimeoutError where that was this object's doing."""
        self._due = math.inf
        if not self._is_over or self._task is None:
            return
        self._is_over = False
        # Somebody else may have cancelled the task as well: then it stays so.
        if self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _set_alarm(self) -> None:
        self.close()
        self._alarm = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._alarm = None
        if self._due == math.inf or self._task is None:
            return
        if self._loop.time() < self._due:
            self._set_alarm()
            return
        self._is_over = True
        self._task.cancel()
