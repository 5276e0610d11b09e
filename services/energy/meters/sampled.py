"""A meter whose device is polled by a thread of its own.

A driver may take milliseconds, or never return: neither may hold up the event loop. The thread hands over
readings, one per change of the counter; `read` only collects them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.core.energy_ledger import Reading
from services.core.errors import MessPlusError
from services.energy.meters.base import Observed, Unavailable
from services.energy.meters.counter import STALL_SECONDS, CounterWatch, Fault
from services.energy.meters.self_check import Point, SelfCheck

MAX_WAITING_READINGS = 4096
RETRY_SECONDS = 0.5
"""Time between two attempts while a device answers with errors."""
_STOP_SECONDS = 1.0
_NANOSECONDS_PER_SECOND = 1_000_000_000


class MeterReadError(MessPlusError):
    """A device could not be read; the message says why and what to do."""


class Probe(Protocol):
    """Reads one device. Its methods may wait for the driver, and raise MeterReadError."""

    def read_microjoules(self) -> int:
        """The raw counter."""

    def read_watts(self) -> float:
        """Power in this moment, to check the counter against."""

    def read_power_limit_watts(self) -> float | None:
        """The power limit now; None where the device tells none."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a meter is called."""

    meter_id: str
    kind: str
    method: str
    detail: str


class RefusedMeter:
    """A meter that is there but must or can not be read: it says why, and is never 0 J."""

    quality = "MEASURED"
    watts_per_core: float | None = None
    observed = Observed()

    def __init__(self, identity: Identity, reason: str) -> None:
        self.meter_id, self.kind, self.method = identity.meter_id, identity.kind, identity.method
        self.detail = identity.detail
        self._reason = reason

    def read(self) -> Unavailable:
        """Why not."""
        return Unavailable(self._reason)


class SampledMeter:
    """One sampler of one device.

    Args:
        identity: what it is called.
        probe: the device.
        watch: follows its counter.
        poll_seconds: time between two samples.
        check: compares counter and power; None where there is no power to compare with.
        clock: monotonic nanoseconds.

    """

    quality = "MEASURED"
    watts_per_core: float | None = None

    def __init__(
        self,
        identity: Identity,
        probe: Probe,
        watch: CounterWatch,
        poll_seconds: float,
        check: SelfCheck | None,
        clock: Callable[[], int],
    ) -> None:
        self.meter_id, self.kind, self.method = identity.meter_id, identity.kind, identity.method
        self.detail = identity.detail
        self._probe, self._watch, self._check, self._clock = probe, watch, check, clock
        self.poll_seconds = min(poll_seconds, watch.longest_pause_seconds)
        """Time between two samples, s: at least two of them lie in the fastest wrap."""
        self._readings: deque[Reading] = deque()
        self._away = ""
        self._polled_nanoseconds = clock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=f"meter {self.meter_id}", daemon=True)

    @property
    def observed(self) -> Observed:
        """Update period, lag and faults so far."""
        result = self._check.result if self._check else None
        return Observed(
            self._watch.update_period_seconds,
            result.lag_seconds if result else None,
            self._watch.power_limit_watts,
            result.suspect if result else "",
            {fault.value: count for fault, count in self._watch.faults.copy().items()},
        )

    def start(self) -> None:
        """Begins to sample."""
        self._polled_nanoseconds = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Ends the sampler; one that hangs in its driver is left to the end of the process."""
        self._is_stopping = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def read(self) -> Sequence[Reading] | Unavailable:
        """What came since the last call; unavailable while the device fails, hangs or stands still."""
        if self._readings:
            return [self._readings.popleft() for _ in range(len(self._readings))]
        silent_seconds = (self._clock() - self._polled_nanoseconds) / _NANOSECONDS_PER_SECOND
        if self._away:
            return Unavailable(self._away)
        if silent_seconds > STALL_SECONDS:
            return Unavailable(f"the driver has not answered for {silent_seconds:.0f} s: see the system log")
        return ()

    def poll(self) -> None:
        """Samples once; the sampler does this for itself."""
        started = self._clock()
        try:
            microjoules = self._probe.read_microjoules()
            nanoseconds = (started + self._clock()) // 2
            reading = self._watch.take(nanoseconds, microjoules)
            self._hand_over(reading)
            self._compare(nanoseconds, microjoules)
        except MeterReadError as error:
            self._watch.lose(Fault.UNREADABLE)
            self._away = str(error)
        else:
            self._away = self._standstill()
        self._polled_nanoseconds = self._clock()

    def _run(self) -> None:
        # A plain sleep costs half of what waiting for an event does, and a stop may take as long as one.
        while not self._is_stopping:
            time.sleep(RETRY_SECONDS if self._away else self.poll_seconds)
            self.poll()

    def _hand_over(self, reading: Reading | None) -> None:
        if reading is None:
            return
        if len(self._readings) >= MAX_WAITING_READINGS:
            self._watch.lose(Fault.MISSED)
            return
        if reading.follows_gap:
            self._heed_power_limit()
        self._readings.append(reading)

    def _heed_power_limit(self) -> None:
        """An impossible rise may come from a limit that was raised since: the next one is judged anew."""
        self._watch.power_limit_watts = self._probe.read_power_limit_watts() or self._watch.power_limit_watts

    def _compare(self, nanoseconds: int, microjoules: int) -> None:
        if self._check is None or not self._check.wants(nanoseconds):
            return
        try:
            watts = self._probe.read_watts()
        except MeterReadError:
            # The counter is what counts: without a power to compare with, it stays unchecked.
            self._check.abandon(nanoseconds)
            return
        if self._check.add(Point(nanoseconds, microjoules, watts)):
            lag_seconds = self._check.result.lag_seconds or 0.0
            self._watch.lag_nanoseconds = round(lag_seconds * _NANOSECONDS_PER_SECOND)

    def _standstill(self) -> str:
        if not self._watch.stopped:
            return ""
        return f"the counter has stood still for {STALL_SECONDS:g} s: check the device and its driver"
