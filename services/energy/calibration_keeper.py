"""Keeps what was learned of the meters beyond a restart."""

import asyncio

from services.energy.accounting import EnergyAccounting
from services.energy.ports import CalibrationStore


class CalibrationKeeper:
    """Loads once, then saves what changed, every `interval_seconds`.

    A calibration that was never loaded is never overwritten: until the store has answered, nothing is saved.
    """

    def __init__(
        self, accounting: EnergyAccounting, store: CalibrationStore, interval_seconds: float
    ) -> None:
        self._accounting, self._store, self._interval_seconds = accounting, store, interval_seconds
        self._loaded = False
        self._saved = 0

    async def keep(self) -> None:
        """One round. Raises StateUnavailableError while the store is away."""
        if not self._loaded:
            self._accounting.load_calibrations(await self._store.load())
            self._loaded = True
        await asyncio.sleep(self._interval_seconds)
        await self.save()

    async def save(self) -> None:
        """Saves if anything was learned since. Raises StateUnavailableError."""
        learned = self._accounting.learned_batches
        if self._loaded and learned != self._saved:
            await self._store.save(self._accounting.calibrations())
            self._saved = learned
