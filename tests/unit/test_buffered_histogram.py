"""Values that wait are recorded all the same, soon and in order."""

import asyncio
from typing import Any

from services.common.buffered_histogram import MAX_WAIT_SECONDS, MAX_WAITING, BufferedHistogram


class Target:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.values: list[tuple[float, dict[str, str]]] = []

    def record(self, value: float, attributes: Any) -> None:
        self.values.append((value, dict(attributes)))


def made() -> tuple[Target, BufferedHistogram]:
    target: Any = Target()
    return target, BufferedHistogram(target)


async def test_values_are_recorded_together_after_a_moment() -> None:
    target, histogram = made()
    histogram.record(1.0, {"a": "b"})
    histogram.record(2.0)
    assert target.values == []
    async with asyncio.timeout(20 * MAX_WAIT_SECONDS):
        while not target.values:
            await asyncio.sleep(MAX_WAIT_SECONDS / 5)
    assert target.values == [(1.0, {"a": "b"}), (2.0, {})]


async def test_many_values_do_not_wait() -> None:
    target, histogram = made()
    for value in range(MAX_WAITING + 1):
        histogram.record(float(value))
    assert [value for value, _ in target.values] == [float(value) for value in range(MAX_WAITING)]


def test_without_an_event_loop_nothing_waits() -> None:
    target, histogram = made()
    histogram.record(3.0)
    assert target.values == [(3.0, {})]
