"""The counters that a zoo asks for, on this machine."""

import time
from collections.abc import Callable, Sequence

from services.common.zoo import EnergySettings
from services.core.errors import ConfigError, ConfigProblem
from services.energy.meters.base import Meter
from services.energy.meters.nvml import nvml_meters
from services.energy.meters.rapl import rapl_meters
from services.energy.meters.replay import ReplayMeter, load_trace
from services.energy.meters.sampled import MeterReadError


def machine_counters(
    energy: EnergySettings, origin: str = "zoo", clock: Callable[[], int] = time.monotonic_ns
) -> list[Meter]:
    """The polled counters of the settings; none for process CPU, whose meters come with the workers.

    Raises:
        ConfigError: the machine has no such counter, or not the devices that are named. A device that is
            there but cannot be read is a meter that says so.

    """
    if energy.meter == "cpu-process":
        return []
    if energy.meter == "replay" and energy.replay_file is not None:
        return [ReplayMeter(load_trace(energy.replay_file), energy.replay_file.name, clock)]
    try:
        found = (nvml_meters if energy.meter == "nvml" else rapl_meters)(energy.poll_seconds, clock=clock)
    except MeterReadError as error:
        allowed = f"{error}. `messplus meters` lists what this machine has; cpu-process works everywhere"
        raise ConfigError([ConfigProblem(origin, "energy.meter", energy.meter, allowed)]) from error
    return _chosen(found, energy, origin)


def _chosen(found: Sequence[Meter], energy: EnergySettings, origin: str) -> list[Meter]:
    """The meters that the settings name; all where they name none. Raises ConfigError."""
    here = {meter.meter_id: meter for meter in found}
    allowed = f"must be one of {', '.join(here) or '(none here)'}; `messplus meters` lists them"
    if problems := [
        ConfigProblem(origin, f"energy.devices[{i}]", device_id, allowed)
        for i, device_id in enumerate(energy.devices)
        if device_id not in here
    ]:
        raise ConfigError(problems)
    if not here:
        raise ConfigError([ConfigProblem(origin, "energy.meter", energy.meter, "this machine has no GPU")])
    return [here[device_id] for device_id in energy.devices or here]
