"""The table of NVIDIA GPUs, through the driver's own library: which there are, and which can be metered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

from services.energy.meters.sampled import MeterReadError

_MICROJOULES_PER_MILLIJOULE = 1000
_WATTS_PER_MILLIWATT = 1e-3
_WITHOUT = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
_SHARED_MODES = {
    pynvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU: "this is a vGPU of a board that other machines use",
    pynvml.NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU: "the board is shared out to virtual machines as vGPUs",
    pynvml.NVML_GPU_VIRTUALIZATION_MODE_HOST_VSGA: "the board is shared out to virtual machines (vSGA)",
}
_REMEDIES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "install the NVIDIA driver, or give the container GPUs (--gpus all)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "load the NVIDIA kernel driver (nvidia-smi must work)",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "library and kernel driver differ: reboot",
    pynvml.NVML_ERROR_NO_PERMISSION: "give the service's user access to /dev/nvidia*",
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU fell off its bus: reset it or reboot",
    pynvml.NVML_ERROR_RESET_REQUIRED: "reset the GPU (nvidia-smi --gpu-reset)",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the driver is too old: update it",
    pynvml.NVML_ERROR_NOT_SUPPORTED: "this GPU does not have it",
}
_FALLBACK_REMEDY = "nvidia-smi must work for the service's user"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; a Probe of its counter and its power."""

    uuid: str
    name: str
    has_counter: bool
    """Whether it has an energy counter."""
    refusal: str
    """Why its energy must not be charged to requests; "" if it may."""
    handle: Any
    """Of the driver's library."""

    def read_microjoules(self) -> int:
        """Energy since the driver was loaded. Raises MeterReadError."""
        return _MICROJOULES_PER_MILLIJOULE * int(
            _ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle)
        )

    def read_watts(self) -> float:
        """Power of the GPU in this moment (POWER_INSTANT), W. Raises MeterReadError."""
        wanted = [(pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_POWER_SCOPE_GPU)]
        value = _ask(pynvml.nvmlDeviceGetFieldValues, self.handle, wanted)[0]
        # The call succeeds although a value in it does not.
        if value.nvmlReturn != pynvml.NVML_SUCCESS:
            raise _explained("POWER_INSTANT", value.nvmlReturn)
        came = (value.fieldId, value.scopeId, value.valueType)
        if came != (*wanted[0], pynvml.NVML_VALUE_TYPE_UNSIGNED_INT):
            raise MeterReadError(f"POWER_INSTANT came as {came} (field, scope, type): update the driver")
        return float(value.value.uiVal) * _WATTS_PER_MILLIWATT

    def read_power_limit_watts(self) -> float | None:
        """The limit in force, W; None where the driver tells none. Raises MeterReadError."""
        limit = _ask_if_there(pynvml.nvmlDeviceGetEnforcedPowerLimit, self.handle)
        return float(limit) * _WATTS_PER_MILLIWATT if limit else None


def open_gpus() -> list[Gpu]:
    """All GPUs that this process can see, by UUID. Raises MeterReadError where there is no driver."""
    _ask(pynvml.nvmlInit)
    count = int(_ask(pynvml.nvmlDeviceGetCount))
    return [_open(index) for index in range(count)]


def _open(index: int) -> Gpu:
    """The GPU at an index, which changes with the order of the bus: only its UUID names it."""
    uuid, name, handle = f"nvml:{index}", "unknown GPU", None
    try:
        handle = _ask(pynvml.nvmlDeviceGetHandleByIndex, index)
        uuid = str(_ask(pynvml.nvmlDeviceGetUUID, handle))
        name = str(_ask(pynvml.nvmlDeviceGetName, handle))
        counter = _ask_if_there(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        return Gpu(uuid, name, counter is not None, _refusal(handle), handle)
    except MeterReadError as error:
        # One broken GPU must not hide the others.
        return Gpu(uuid, name, has_counter=False, refusal=str(error), handle=handle)


def _refusal(handle: Any) -> str:
    """Why what the board draws is not what this GPU's requests cause; "" if it is."""
    mig = _ask_if_there(pynvml.nvmlDeviceGetMigMode, handle)
    if mig is not None and mig[0]:
        return (
            "MIG is on: the counter is the whole board's, which its instances share. "
            "Switch it off (nvidia-smi -mig 0), or meter with process CPU"
        )
    mode = _ask_if_there(pynvml.nvmlDeviceGetVirtualizationMode, handle)
    if mode in _SHARED_MODES:
        return f"{_SHARED_MODES[mode]}: its counter is not this machine's. Meter with process CPU"
    if _ask_if_there(pynvml.nvmlDeviceGetMultiGpuBoard, handle):
        return "several GPUs share this board, and its counter. Meter with process CPU"
    return ""


def _ask(function: Callable[..., _Answer], *arguments: Any) -> _Answer:
    """Calls the driver's library. Raises MeterReadError."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise _explained(function.__name__, error.value) from error


def _ask_if_there(function: Callable[..., _Answer], *arguments: Any) -> _Answer | None:
    """Calls the driver's library; None where driver or GPU do not have this. Raises MeterReadError."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _WITHOUT:
            return None
        raise _explained(function.__name__, error.value) from error


def _explained(what: str, code: int) -> MeterReadError:
    remedy = _REMEDIES.get(code, _FALLBACK_REMEDY)
    return MeterReadError(f"{what}: {pynvml.NVMLError(code)} (NVML error {code}): {remedy}")
