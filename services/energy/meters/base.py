"""What every meter can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.core.energy_ledger import Reading

MICROJOULES_PER_JOULE = 1_000_000
ESTIMATE = "coefficients"
"""Method of the part of a figure that no counter measured."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A meter that cannot be read now; never to be taken for 0 J."""

    reason: str
    """Why, and what to do."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of how a meter behaves."""

    update_period_seconds: float | None = None
    """Mean time between two changes, as far as polling can tell; None where it is not known."""
    lag_seconds: float | None = None
    """By how much the counter is behind; its windows are shifted by it. None: not measured, taken for 0."""
    power_limit_watts: float | None = None
    """What the device may draw; step costs are learned anew where it changes. None where it tells none."""
    suspect: str = ""
    """Why its joules are doubtful; "" if they are not."""
    unknown_windows: Mapping[str, int] = field(default_factory=dict)
    """Windows whose energy is unknown, by reason."""


class Meter(Protocol):
    """A cumulative energy counter."""

    @property
    def meter_id(self) -> str:
        """Unique on this host, for example a GPU UUID."""

    @property
    def kind(self) -> str:
        """Kind and vendor, for example "cpu/process"."""

    @property
    def method(self) -> str:
        """How its joules come about, as energy figures name it, for example "process-cpu"."""

    @property
    def quality(self) -> str:
        """MEASURED or MODELLED."""

    @property
    def detail(self) -> str:
        """What a reader of its figures must know; "" if nothing."""

    @property
    def watts_per_core(self) -> float | None:
        """Watts per busy core where the figure is modelled by them."""

    @property
    def observed(self) -> Observed:
        """How it behaves, as far as that was seen."""

    def read(self) -> Sequence[Reading] | Unavailable:
        """What the counter showed since the last call, oldest first; empty where it has not changed.

        Microjoules only rise, except when the counter is reset. Never waits for a device.
        """
