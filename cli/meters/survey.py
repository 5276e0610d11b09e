"""Looks for every meter that this machine could have, and watches those that count for a while."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.common.zoo import EnergySettings
from services.core.energy_ledger import Reading
from services.energy.meters.base import MICROJOULES_PER_JOULE, Meter, Observed, Unavailable
from services.energy.meters.cpu_process import PREFIX
from services.energy.meters.machine import COUNTERS
from services.energy.meters.nvml import METHOD_POWER
from services.energy.meters.sampled import MeterReadError, SampledMeter

_LOOK_SECONDS = 0.5
_SECONDS_PER_NANOSECOND = 1e-9


@dataclass(frozen=True, slots=True)
class FoundMeter:
    """One meter of this machine, or a kind of meter that it does not have."""

    setting: str
    """What to write as `energy.meter` to use it."""
    meter_id: str
    """Empty where the machine has none of this kind."""
    kind: str
    quality: str
    """counter, power integration or modelled; for machines that lack it, what it would be."""
    detail: str
    reason: str
    """Why it is unavailable, and what to do; "" if it is available."""
    is_in_use: bool
    """Whether the zoo file asks for it."""
    observed: Observed = field(default_factory=Observed)
    power_watts: float | None = None
    """Mean power while it was watched."""


@dataclass(slots=True)
class _Watched:
    readings: list[Reading] = field(default_factory=list)
    away: str = ""


def survey(energy: EnergySettings, seconds: float) -> list[FoundMeter]:
    """Every kind of meter: of this machine's, and why others are not here. Watches counters for `seconds`."""
    here: list[tuple[str, Meter]] = []
    missing: list[FoundMeter] = []
    for setting, find in COUNTERS.items():
        try:
            here += [(setting, meter) for meter in find(energy.poll_seconds, time.monotonic_ns)]
        except MeterReadError as error:
            missing.append(_missing(energy, setting, str(error)))
    watched = _watch([meter for _, meter in here], seconds)
    found = [_found(energy, setting, meter, watched[meter.meter_id]) for setting, meter in here]
    return [*found, *missing, _process_cpu(energy), _replay(energy)]


def _watch(meters: Sequence[Meter], seconds: float) -> dict[str, _Watched]:
    """What each meter showed meanwhile, by its id."""
    sampled = [meter for meter in meters if isinstance(meter, SampledMeter)]
    watched = {meter.meter_id: _Watched() for meter in meters}
    for meter in sampled:
        meter.start()
    end = time.monotonic() + (seconds if sampled else 0.0)
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, _LOOK_SECONDS))
        _look(meters, watched)
    _look(meters, watched)
    for meter in sampled:
        meter.stop()
    return watched


def _look(meters: Sequence[Meter], watched: dict[str, _Watched]) -> None:
    for meter in meters:
        shown, seen = meter.read(), watched[meter.meter_id]
        if isinstance(shown, Unavailable):
            seen.away = shown.reason
        else:
            seen.away = ""
            seen.readings += shown


def _found(energy: EnergySettings, setting: str, meter: Meter, watched: _Watched) -> FoundMeter:
    return FoundMeter(
        setting,
        meter.meter_id,
        meter.kind,
        "power integration" if meter.method == METHOD_POWER else "counter",
        meter.detail,
        watched.away,
        energy.meter == setting and meter.meter_id in (energy.devices or (meter.meter_id,)),
        meter.observed,
        _watts(watched.readings),
    )


def _watts(readings: Sequence[Reading]) -> float | None:
    """Mean power between the first and the last reading; None where a window between them is unknown."""
    if len(readings) < 2 or any(reading.follows_gap for reading in readings[1:]):
        return None
    first, last = readings[0], readings[-1]
    seconds = (last.monotonic_nanoseconds - first.monotonic_nanoseconds) * _SECONDS_PER_NANOSECOND
    return (last.cumulative_microjoules - first.cumulative_microjoules) / MICROJOULES_PER_JOULE / seconds


def _missing(energy: EnergySettings, setting: str, reason: str) -> FoundMeter:
    return FoundMeter(setting, "", "", "counter", "", reason, energy.meter == setting)


def _process_cpu(energy: EnergySettings) -> FoundMeter:
    detail = f"CPU-seconds of each worker x {energy.watts_per_core:g} W per busy core (energy.watts_per_core)"
    name = "cpu-process"
    return FoundMeter(name, f"{PREFIX}:<worker>", "cpu/process", "modelled", detail, "", energy.meter == name)


def _replay(energy: EnergySettings) -> FoundMeter:
    detail = f"a recorded trace ({energy.replay_file or 'none is named'}); not this machine's joules"
    reason = "" if energy.replay_file else "name a trace (energy.replay_file) to play one"
    return FoundMeter("replay", "replay", "replay", "modelled", detail, reason, energy.meter == "replay")
