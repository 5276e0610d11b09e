"""Mean power between two looks at a counter."""

from dataclasses import dataclass, field

from services.energy.meters.base import MICROJOULES_PER_JOULE

_SECONDS_PER_NANOSECOND = 1e-9


@dataclass(slots=True)
class PowerGauge:
    """Turns cumulative microjoules into watts."""

    _last: dict[str, tuple[int, int]] = field(default_factory=dict)

    def watts(self, key: str, monotonic_nanoseconds: int, microjoules: int) -> float:
        """Mean power since the last look at `key`, W; 0 at the first."""
        last_nanoseconds, last_microjoules = self._last.get(key, (monotonic_nanoseconds, microjoules))
        self._last[key] = (monotonic_nanoseconds, microjoules)
        seconds = (monotonic_nanoseconds - last_nanoseconds) * _SECONDS_PER_NANOSECOND
        return (microjoules - last_microjoules) / MICROJOULES_PER_JOULE / seconds if seconds > 0 else 0.0
