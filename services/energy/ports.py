"""What the energy service needs from outside."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from services.core.events import EnergyAttributed


class EnergyLog(Protocol):
    """The zoo's event log, as far as energy is concerned."""

    async def append(self, events: Sequence[EnergyAttributed]) -> None:
        """Appends all events or none, in order. Raises StateUnavailableError while the log is away."""

    async def tail(self, limit: int) -> list[EnergyAttributed]:
        """The newest energy events, at most `limit`, oldest first. Raises StateUnavailableError."""


class CalibrationStore(Protocol):
    """What was learned of each meter, as JSON values by meter id."""

    async def save(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Replaces what is stored of these meters. Raises StateUnavailableError while the store is away."""

    async def load(self) -> Mapping[str, Any]:
        """Everything that is stored. Raises StateUnavailableError."""
