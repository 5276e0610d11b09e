"""Meters of CPU packages and their memory: RAPL, through the powercap files of the kernel.

A package's counter already contains its cores and their uncore; a platform's (psys) contains the packages;
intel-rapl-mmio shows the same packages again. So packages and memory are metered, and nothing else.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.energy.meters.base import Meter
from services.energy.meters.counter import CounterWatch
from services.energy.meters.sampled import Identity, MeterReadError, RefusedMeter, SampledMeter

POWERCAP = Path("/sys/class/powercap")
KIND = "cpu/rapl"
METHOD = "rapl"
_WATTS_PER_MICROWATT = 1e-6


@dataclass(frozen=True, slots=True)
class Zone:
    """One powercap zone; a Probe of its counter."""

    path: Path
    name: str
    """For example "package-0" or "package-0/dram"."""

    def read_microjoules(self) -> int:
        """The raw counter. Raises MeterReadError."""
        return self._number("energy_uj")

    def read_watts(self) -> float:
        """Raises MeterReadError: RAPL has no power of its own to check against."""
        raise MeterReadError(f"{self.path}: RAPL tells energy only")

    def read_power_limit_watts(self) -> float | None:
        """The long-term limit, W; None where the kernel tells none."""
        try:
            return self._number("constraint_0_power_limit_uw") * _WATTS_PER_MICROWATT or None
        except MeterReadError:
            return None

    def read_range_microjoules(self) -> int:
        """Where the counter wraps. Raises MeterReadError."""
        if (wraps_at := self._number("max_energy_range_uj")) <= 0:
            raise MeterReadError(f"{self.path}/max_energy_range_uj is {wraps_at}, must be above 0")
        return wraps_at

    def _number(self, file_name: str) -> int:
        file = self.path / file_name
        try:
            return int(file.read_text(encoding="ascii"))
        except PermissionError as error:
            raise MeterReadError(
                f"{file} is there, but only root may read it: run the energy service as root, or let its "
                f"user read the file (chmod o+r {file}); in a container also mount {POWERCAP}"
            ) from error
        except (OSError, ValueError) as error:
            raise MeterReadError(
                f"{file} cannot be read ({error}): containers hide it; mount {POWERCAP}"
            ) from error


def find_zones(root: Path = POWERCAP) -> list[Zone]:
    """The zones to meter. Raises MeterReadError where the kernel shows none."""
    zones = list(_zones(root))
    if not zones:
        raise MeterReadError(
            f"{root} shows no CPU package: load the module intel_rapl_common; most virtual machines "
            "and containers have none"
        )
    return zones


def rapl_meters(
    poll_seconds: float, root: Path = POWERCAP, clock: Callable[[], int] = time.monotonic_ns
) -> list[Meter]:
    """A meter per zone; start the sampled ones. Raises MeterReadError where there is none."""
    return [_meter(zone, poll_seconds, clock) for zone in find_zones(root)]


def _meter(zone: Zone, poll_seconds: float, clock: Callable[[], int]) -> Meter:
    identity = Identity(f"rapl:{zone.name}", KIND, METHOD, str(zone.path))
    try:
        zone.read_microjoules()
        watch = CounterWatch(zone.read_power_limit_watts(), zone.read_range_microjoules())
    except MeterReadError as error:
        return RefusedMeter(identity, str(error))
    return SampledMeter(identity, zone, watch, poll_seconds, None, clock)


def _zones(root: Path) -> Iterator[Zone]:
    """Packages in order, each followed by its memory."""
    for package in sorted(root.glob("intel-rapl:*")):
        if package.name.count(":") != 1 or not (name := _name(package)).startswith("package-"):
            continue
        yield Zone(package, name)
        for inner in sorted(root.glob(f"{package.name}:*")):
            if (inner_name := _name(inner)) == "dram":
                yield Zone(inner, f"{name}/{inner_name}")


def _name(zone: Path) -> str:
    """What the kernel calls a zone; "" where it does not say."""
    file = zone / "name"
    return file.read_text(encoding="ascii").strip() if file.is_file() else ""
