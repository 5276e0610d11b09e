"""Reading a policy's parameters from a configuration: known names, right types, allowed ranges."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

ParametersT = TypeVar("ParametersT")

NAME = "name"
"""The field of a `WrongField` that stands for the policy's name; every other one is a parameter's."""


class WrongField(NamedTuple):
    """A wrong field of a policy's configuration, its value as given, and what is allowed or needed."""

    field: str
    value: object
    allowed: str


class PolicyConfigError(ValueError):
    """A policy cannot be configured like this; `problems` has every wrong field."""

    def __init__(self, problems: Sequence[WrongField]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field} = {p.value!r}: {p.allowed}" for p in problems))


def number(default: float, low: float, high: float, unit: str = "1") -> Any:
    """A dataclass field for a number in [low, high], of the default's type."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "unit": unit})


def parse(kind: type[ParametersT], given: Mapping[str, object]) -> ParametersT:
    """Parameters from a mapping; those not given keep their defaults.

    Raises PolicyConfigError with every wrong one.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    allowed = ", ".join(fields) or "none"
    problems = [
        WrongField(name, value, f"allowed names: {allowed}")
        for name, value in given.items()
        if name not in fields
    ]
    values: dict[str, float | int] = {}
    for name in fields.keys() & given.keys():
        checked = _checked(fields[name], given[name])
        if isinstance(checked, WrongField):
            problems.append(checked)
        else:
            values[name] = checked
    if problems:
        raise PolicyConfigError(sorted(problems, key=lambda problem: problem.field))
    return kind(**values)


def _checked(field: "dataclasses.Field[Any]", value: object) -> float | int | WrongField:
    low, high = field.metadata["low"], field.metadata["high"]
    whole = isinstance(field.default, int)
    number_types = int if whole else (int, float)
    if isinstance(value, number_types) and not isinstance(value, bool) and low <= value <= high:
        return int(value) if whole else float(value)
    allowed = f"{'an integer' if whole else 'a number'} from {low:g} to {high:g} ({field.metadata['unit']})"
    return WrongField(field.name, value, f"allowed: {allowed}")
