"""Meters of NVIDIA GPUs, one per GPU UUID."""

import time
from collections.abc import Callable

from services.energy.meters.base import Meter
from services.energy.meters.counter import CounterWatch
from services.energy.meters.nvml_devices import Gpu, open_gpus
from services.energy.meters.power_integral import PowerIntegral
from services.energy.meters.sampled import (
    Identity,
    MeterReadError,
    Probe,
    RefusedMeter,
    SampledMeter,
)
from services.energy.meters.self_check import SelfCheck

KIND = "gpu/nvidia"
METHOD_COUNTER = "nvml"
METHOD_POWER = "power_integration"


def nvml_meters(poll_seconds: float, clock: Callable[[], int] = time.monotonic_ns) -> list[Meter]:
    """A meter per GPU, refused ones too; start the sampled ones. Raises MeterReadError without a driver."""
    return [_meter(gpu, poll_seconds, clock) for gpu in open_gpus()]


def _meter(gpu: Gpu, poll_seconds: float, clock: Callable[[], int]) -> Meter:
    method = METHOD_COUNTER if gpu.has_counter else METHOD_POWER
    identity = Identity(gpu.uuid, KIND, method, gpu.name)
    if gpu.refusal:
        return RefusedMeter(identity, gpu.refusal)
    try:
        watch = CounterWatch(gpu.read_power_limit_watts())
        if not gpu.has_counter:
            gpu.read_watts()
    except MeterReadError as error:
        return RefusedMeter(identity, str(error))
    probe: Probe = gpu if gpu.has_counter else PowerIntegral(gpu, clock)
    check = SelfCheck() if gpu.has_counter else None
    return SampledMeter(identity, probe, watch, poll_seconds, check, clock)
