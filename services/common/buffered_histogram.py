"""A histogram for what happens thousands of times a second.

A record of the SDK takes 7 us by itself and several times that between two requests, when its code and data
have left the processor's caches (`python -m bench.run tracing`). So values wait, and are recorded together.
"""

import asyncio
from collections.abc import Mapping

from opentelemetry.metrics import Histogram

MAX_WAITING = 256
MAX_WAIT_SECONDS = 0.5
_NO_ATTRIBUTES: dict[str, str] = {}


class BufferedHistogram:
    """Records into `target`, a little later. To be used on one event loop; without one it does not wait."""

    def __init__(self, target: Histogram) -> None:
        self._target = target
        self._waiting: list[tuple[float, Mapping[str, str]]] = []

    def record(self, value: float, attributes: Mapping[str, str] = _NO_ATTRIBUTES) -> None:
        """Takes a value."""
        if not self._waiting:
            try:
                asyncio.get_running_loop().call_later(MAX_WAIT_SECONDS, self.flush)
            except RuntimeError:
                self._target.record(value, attributes)
                return
        self._waiting.append((value, attributes))
        if len(self._waiting) >= MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        """Records what waits."""
        waiting, self._waiting = self._waiting, []
        for value, attributes in waiting:
            self._target.record(value, attributes)
