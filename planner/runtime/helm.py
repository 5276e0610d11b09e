"""Profiles as JSON that HELM reads and writes (`inference_idealized_runtimes.json`)."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.runtime.profile import Linear, Profile, Tier
from services.core.errors import ConfigError, ConfigProblem

_SLOPE, _TABLE, _OVERHEAD = "runtime_per_output_token", "runtime_for_prompt_tokens", "overhead"
_KV = "runtime_per_output_token_and_prompt_token"
"""This project's addition, which HELM ignores; written where it is not 0."""
_JOULES = "joules"
"""This project's addition: the same keys, for joules."""
_QUALITY = "quality"
"""In `joules`: measured or modelled; written where it is not measured."""
_METERED = (Tier.MEASURED.value, Tier.MODELLED.value, Tier.ESTIMATED.value)
_OUTPUTS = "measured_output_tokens"
"""This project's addition: least and most."""


def read_profiles(path: Path) -> dict[str, Profile]:
    """Profiles by name. Raises ConfigError that names every problem."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _error(path, "file", "not readable", (error.strerror or str(error)).lower()) from None
    except ValueError as error:
        raise _error(path, "file", "no JSON", str(error)) from None
    if not isinstance(content, dict) or not content:
        raise _error(path, "content", type(content).__name__, "an object: model name -> its runtimes")
    problems = [p for name, entry in content.items() for p in _problems(str(path), name, entry)]
    if problems:
        raise ConfigError(problems)
    return {name: _profile(name, entry) for name, entry in content.items()}


def profiles_text(profiles: Mapping[str, Profile]) -> str:
    """The JSON text of profiles; those that HELM published come out as they went in."""
    return json.dumps(
        {name: _entry(profile) for name, profile in profiles.items()}, indent=2, allow_nan=False
    )


def _entry(profile: Profile) -> dict[str, Any]:
    entry = _linear_entry(profile.seconds)
    if profile.joules is not None:
        entry[_JOULES] = _linear_entry(profile.joules)
        if profile.joules_tier is not Tier.MEASURED:
            entry[_JOULES][_QUALITY] = profile.joules_tier.value
    if profile.output_tokens is not None:
        entry[_OUTPUTS] = list(profile.output_tokens)
    return entry


def _linear_entry(quantity: Linear) -> dict[str, Any]:
    entry: dict[str, Any] = {
        _SLOPE: quantity.per_output_token,
        _TABLE: {str(tokens): value for tokens, value in quantity.for_prompt.items()},
    }
    if quantity.overhead is not None:
        entry[_OVERHEAD] = quantity.overhead
    if quantity.per_output_token_and_prompt_token:
        entry[_KV] = quantity.per_output_token_and_prompt_token
    return entry


def _profile(name: str, entry: Mapping[str, Any]) -> Profile:
    joules = _linear(entry[_JOULES]) if _JOULES in entry else None
    outputs = (entry[_OUTPUTS][0], entry[_OUTPUTS][1]) if _OUTPUTS in entry else None
    tier = Tier(entry.get(_JOULES, {}).get(_QUALITY, Tier.MEASURED.value))
    return Profile(name, _linear(entry), joules, outputs, joules_tier=tier)


def _linear(entry: Mapping[str, Any]) -> Linear:
    table = {int(tokens): value for tokens, value in entry[_TABLE].items()}
    return Linear(table, entry[_SLOPE], entry.get(_KV, 0.0), entry.get(_OVERHEAD))


def _problems(place: str, name: str, entry: Any) -> list[ConfigProblem]:
    if not isinstance(entry, dict):
        return [ConfigProblem(place, name, type(entry).__name__, f"an object with {_SLOPE} and {_TABLE}")]
    found = _linear_problems(place, name, entry)
    if _JOULES in entry:
        nested = entry[_JOULES] if isinstance(entry[_JOULES], dict) else {}
        found += _linear_problems(place, f"{name}.{_JOULES}", nested)
        if (quality := nested.get(_QUALITY, Tier.MEASURED.value)) not in _METERED:
            found.append(
                ConfigProblem(
                    place, f"{name}.{_JOULES}.{_QUALITY}", str(quality), f"one of {', '.join(_METERED)}"
                )
            )
    span = entry.get(_OUTPUTS, [1, 1])
    if not (isinstance(span, list) and len(span) == 2 and all(_is_number(tokens, 1.0) for tokens in span)):
        found.append(ConfigProblem(place, f"{name}.{_OUTPUTS}", str(span), "two numbers of at least 1"))
    return found


def _linear_problems(place: str, name: str, entry: Mapping[str, Any]) -> list[ConfigProblem]:
    found = []
    for key in (_SLOPE, _OVERHEAD, _KV):
        if (key == _SLOPE or key in entry) and not _is_number(entry.get(key), 0.0):
            value = str(entry.get(key, "missing"))
            found.append(ConfigProblem(place, f"{name}.{key}", value, "a finite number of at least 0"))
    table = entry.get(_TABLE)
    if not isinstance(table, dict) or len(table) < 2:
        value = "missing" if table is None else str(table)
        return [*found, ConfigProblem(place, f"{name}.{_TABLE}", value, "two prompt lengths or more")]
    for tokens, seconds in table.items():
        if not (tokens.isdecimal() and int(tokens) > 0 and _is_number(seconds, 0.0) and seconds > 0.0):
            allowed = "a whole number above 0 -> a finite number above 0"
            found.append(ConfigProblem(place, f"{name}.{_TABLE}", f"{tokens}: {seconds}", allowed))
    return found


def _is_number(value: Any, least: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= least


def _error(path: Path, key: str, value: str, allowed: str) -> ConfigError:
    return ConfigError([ConfigProblem(str(path), key, value, allowed)])
