"""Numbers that people type, checked where an option's own range cannot."""

import math
from collections.abc import Mapping, Sequence

from services.core.errors import ConfigError, ConfigProblem


def check_positive(command: str, values: Mapping[str, float | Sequence[float] | None]) -> None:
    """Raises ConfigError that names every option with a number that is not finite or not above 0.

    None stands for an option that was not given.
    """
    problems = [
        ConfigProblem(command, option, str(value), "a finite number above 0")
        for option, given in values.items()
        for value in _listed(given)
        if not (math.isfinite(value) and value > 0.0)
    ]
    if problems:
        raise ConfigError(problems)


def check_targets(command: str, targets: Sequence[float]) -> None:
    """Raises ConfigError where an SLA target is not inside (0, 1)."""
    for target in targets:
        if not 0.0 < target < 1.0:
            allowed = "must be between 0 and 1, both excluded"
            raise ConfigError([ConfigProblem(command, "--min-satisfaction", str(target), allowed)])


def stated(command: str, option: str, texts: Sequence[str], unit: str) -> dict[str, float]:
    """Model -> number above 0, from texts MODEL=NUMBER. Raises ConfigError for another one, or one twice."""
    found: dict[str, float] = {}
    for text in texts:
        model, _, number = text.rpartition("=")
        value = _number(number)
        if not model or not 0.0 < value < math.inf:
            allowed = f"MODEL={unit}, {unit} a number above 0"
            raise ConfigError([ConfigProblem(command, option, text, allowed)])
        if model in found:
            raise ConfigError(
                [ConfigProblem(command, option, text, f"{model} is already stated: once per model")]
            )
        found[model] = value
    return found


def _number(text: str) -> float:
    """A text as a number, NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def lengths(command: str, option: str, text: str) -> tuple[int, ...]:
    """Different whole numbers of at least 1 from "1,32,128", rising. Raises ConfigError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 1 for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(
            [ConfigProblem(command, option, text, "different whole numbers above 0, as 1,32,128")]
        )
    return tuple(sorted(map(int, parts)))


def _listed(given: float | Sequence[float] | None) -> Sequence[float]:
    if given is None:
        return ()
    return (given,) if isinstance(given, int | float) else given
