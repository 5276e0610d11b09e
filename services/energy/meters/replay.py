"""Plays a recorded counter trace, for tests and demonstrations on machines without a counter."""

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

from services.core.energy_ledger import Reading
from services.core.errors import ConfigError, ConfigProblem
from services.energy.meters.base import MICROJOULES_PER_JOULE, Observed, Unavailable

METER_ID = "replay"
_COLUMNS = ("seconds", "joules")
_NANOSECONDS_PER_SECOND = 1_000_000_000


class ReplayMeter:
    """A counter that repeats the rises of a trace from the moment it is made, then is unavailable.

    Args:
        trace: (seconds, joules) per reading, at least two; seconds strictly rise, joules never fall.
        origin: where the trace is from, for people.
        clock: monotonic nanoseconds.

    """

    kind = METER_ID
    method = METER_ID
    meter_id = METER_ID
    quality = "MODELLED"
    observed = Observed()
    watts_per_core: float | None = None

    def __init__(self, trace: Sequence[tuple[float, float]], origin: str, clock: Callable[[], int]) -> None:
        first_seconds, first_joules = trace[0]
        self.detail = f"replays the recorded trace {origin}; these are not this machine's joules"
        self._clock, self._start_nanoseconds = clock, clock()
        self._times = [round((s - first_seconds) * _NANOSECONDS_PER_SECOND) for s, _ in trace]
        self._microjoules = [round((j - first_joules) * MICROJOULES_PER_JOULE) for _, j in trace]
        self._given = 0

    def read(self) -> Sequence[Reading] | Unavailable:
        """The readings of the trace that have come up since the last call; unavailable after its end."""
        if self._given == len(self._times):
            return Unavailable("the recorded trace has ended: restart the service or record a longer one")
        due = bisect_right(self._times, self._clock() - self._start_nanoseconds)
        first, self._given = self._given, due
        return [
            Reading(self._start_nanoseconds + self._times[i], self._microjoules[i]) for i in range(first, due)
        ]


def load_trace(path: Path) -> list[tuple[float, float]]:
    """Reads a CSV with the columns seconds and joules.

    Raises:
        ConfigError: an unreadable file, a wrong header, a number that is not finite, seconds that do not
            rise, joules that fall, or fewer than two rows; all wrong rows at once.

    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [ConfigProblem(str(path), "replay_file", str(path), f"cannot be read: {error}")]
        ) from error
    if tuple(header) != _COLUMNS:
        raise ConfigError([ConfigProblem(f"{path}:1", "header", ",".join(header), "must be seconds,joules")])
    problems: list[ConfigProblem] = []
    trace: list[tuple[float, float]] = []
    for line, row in enumerate(rows, start=2):
        point, allowed = _parse_row(row, trace[-1] if trace else None)
        if point is None:
            problems.append(ConfigProblem(f"{path}:{line}", "row", ",".join(row), allowed))
        else:
            trace.append(point)
    if not problems and len(trace) < 2:
        problems.append(ConfigProblem(str(path), "rows", str(len(trace)), "at least two readings are needed"))
    if problems:
        raise ConfigError(problems)
    return trace


def _parse_row(
    row: Sequence[str], last: tuple[float, float] | None
) -> tuple[tuple[float, float] | None, str]:
    try:
        seconds, joules = map(float, row)
    except ValueError:
        return None, "must be two numbers: seconds,joules"
    if not (math.isfinite(seconds) and math.isfinite(joules) and joules >= 0):
        return None, "both numbers must be finite, joules >= 0"
    if last is not None and (seconds <= last[0] or joules < last[1]):
        return None, "seconds must rise and joules must not fall"
    return (seconds, joules), ""
