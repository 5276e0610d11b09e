"""A counter made of instantaneous power, for devices that have none of their own."""

from collections.abc import Callable

from services.energy.meters.sampled import MeterReadError, Probe

MAX_STEP_SECONDS = 0.5
"""Two looks further apart say too little of the power between them."""
_MICROJOULES_PER_WATT_NANOSECOND = 1e-3
_NANOSECONDS_PER_SECOND = 1_000_000_000


class PowerIntegral:
    """Integrates a device's power by the trapezoidal rule.

    Args:
        device: whose power is read; its counter is not.
        clock: monotonic nanoseconds.

    """

    def __init__(self, device: Probe, clock: Callable[[], int]) -> None:
        self._device, self._clock = device, clock
        self._last: tuple[int, float] | None = None
        self._microjoules = 0.0

    def read_microjoules(self) -> int:
        """Energy since the first look. Raises MeterReadError, also after too long a time without a look."""
        last, self._last = self._last, None
        watts = self.read_watts()
        now = self._clock()
        self._last = (now, watts)
        if last is not None:
            step_nanoseconds = now - last[0]
            if step_nanoseconds > MAX_STEP_SECONDS * _NANOSECONDS_PER_SECOND:
                raise MeterReadError(
                    f"the power was not read for {step_nanoseconds / _NANOSECONDS_PER_SECOND:.1f} s: "
                    "the host may be overloaded"
                )
            self._microjoules += step_nanoseconds * (last[1] + watts) / 2 * _MICROJOULES_PER_WATT_NANOSECOND
        return round(self._microjoules)

    def read_watts(self) -> float:
        """See Probe."""
        return self._device.read_watts()

    def read_power_limit_watts(self) -> float | None:
        """See Probe."""
        return self._device.read_power_limit_watts()
