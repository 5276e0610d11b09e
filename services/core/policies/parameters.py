"""Reading a policy's parameters from a configuration: known names, right types, allowed ranges."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

ParametersT = TypeVar("ParametersT")


def number(default: float, low: float, high: float, unit: str = "1") -> Any:
    """A dataclass field for a number in [low, high], of the default's type."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "unit": unit})


def parse(kind: type[ParametersT], given: Mapping[str, object]) -> ParametersT:
    """Parameters from a mapping; those not given keep their defaults.

    Raises ValueError naming every wrong field, its value and what is allowed, separated by "; ".
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    allowed = ", ".join(fields) or "none"
    problems = [
        f"{name} = {value!r}: allowed names: {allowed}" for name, value in given.items() if name not in fields
    ]
    values: dict[str, float | int] = {}
    for name in fields.keys() & given.keys():
        try:
            values[name] = _checked(fields[name], given[name])
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(sorted(problems)))
    return kind(**values)


def _checked(field: "dataclasses.Field[Any]", value: object) -> float | int:
    low, high = field.metadata["low"], field.metadata["high"]
    whole = isinstance(field.default, int)
    number_types = int if whole else (int, float)
    if isinstance(value, number_types) and not isinstance(value, bool) and low <= value <= high:
        return int(value) if whole else float(value)
    allowed = f"{'an integer' if whole else 'a number'} from {low:g} to {high:g} ({field.metadata['unit']})"
    raise ValueError(f"{field.name} = {value!r}: allowed: {allowed}")
