"""Beyond the meter: what a building and a grid add to joules, as series of their own.

Both multipliers are configured, not measured, so no energy figure ever contains them.
"""

from dataclasses import dataclass

from services.common.zoo import EnergySettings

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Footprint:
    """The multipliers of one place; None: off."""

    pue: float | None = None
    """Power usage effectiveness: joules of the building per joule of its machines, >= 1."""
    carbon_grams_per_kwh: float | None = None
    """Carbon intensity of its electricity, gCO2e per kWh, >= 0."""

    @classmethod
    def of(cls, energy: EnergySettings) -> "Footprint":
        """As the zoo file has it."""
        return cls(energy.power_usage_effectiveness, energy.carbon_intensity_grams_per_kwh)

    def facility_joules(self, joules: float) -> float | None:
        """What the building draws for so many joules of its machines, J; None without a PUE."""
        return None if self.pue is None else joules * self.pue

    def carbon_grams(self, joules: float) -> float | None:
        """What causing so many joules emits, gCO2e, the building's part included where its PUE is known."""
        if self.carbon_grams_per_kwh is None:
            return None
        return joules * (self.pue or 1.0) / _JOULES_PER_KWH * self.carbon_grams_per_kwh
