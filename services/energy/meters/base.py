"""What every meter can do."""

from dataclasses import dataclass
from typing import Protocol

from services.core.energy_ledger import Reading

MICROJOULES_PER_JOULE = 1_000_000


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A meter that cannot be read now; never to be taken for 0 J."""

    reason: str
    """Why, and what to do."""


class Meter(Protocol):
    """A cumulative energy counter that is polled."""

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

    def read(self) -> Reading | Unavailable:
        """The counter now: microjoules that only rise, except when the counter is reset."""
