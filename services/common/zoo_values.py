"""The kinds of values in a zoo file, each with what it may be."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
_ADDRESS = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$")


def _check_address(address: str) -> str:
    match = _ADDRESS.match(address)
    if not match or not 0 < int(match[2]) < 65536:
        raise ValueError('must be "host:port" with a port from 1 to 65535')
    return address


def check_unique(key: str, values: tuple[str, ...]) -> None:
    """Raises ValueError that names the key and what it repeats."""
    if repeated := _repeated(values):
        raise ValueError(f"{key} must not repeat {repeated}")


def unrepeated(values: tuple[str, ...]) -> tuple[str, ...]:
    """The same values. Raises ValueError where one stands there twice."""
    if repeated := _repeated(values):
        raise ValueError(f"must not repeat {repeated}")
    return values


def _repeated(values: tuple[str, ...]) -> str:
    return ", ".join(sorted({value for value in values if values.count(value) > 1}))


Address = Annotated[str, AfterValidator(_check_address)]
DeviceId = Annotated[str, Field(min_length=1, max_length=256)]
OpenUnit = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a zoo file: unknown keys are refused, and nothing changes it once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
