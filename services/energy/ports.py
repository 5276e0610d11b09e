"""What the energy service needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from services.core.events import EnergyAttributed


class EnergyLog(Protocol):
    """The zoo's event log, as far as energy is concerned."""

    async def append(self, events: Sequence[EnergyAttributed]) -> None:
        """Appends all events or none, in order. Raises StateUnavailableError while the log is away."""

    async def tail(self, limit: int) -> list[EnergyAttributed]:
        """The newest energy events, at most `limit`, oldest first. Raises StateUnavailableError."""
