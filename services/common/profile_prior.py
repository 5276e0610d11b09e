"""What a profile of `messplus profile --json` says beforehand of a model's typical request.

A router needs neither scipy nor the planner for one number: between measured prompt lengths it interpolates,
with times and joules never falling, as the planner's estimator does where it sees no tiles.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from services.common.zoo import ModelSettings

_TABLE, _SLOPE, _OVERHEAD = "runtime_for_prompt_tokens", "runtime_per_output_token", "overhead"
_KV = "runtime_per_output_token_and_prompt_token"


class ProfileError(ValueError):
    """A profile that is no prior; the message says why and what is needed."""


@dataclass(frozen=True, slots=True)
class RequestPrior:
    """What is expected of a model's typical request, alone on its worker; None: not known.

    Attributes:
        energy_joules: of the whole request.
        first_token_seconds: until its first token.

    """

    energy_joules: float | None
    first_token_seconds: float | None


def request_prior(model: ModelSettings) -> RequestPrior:
    """The prior of a model of a zoo: its profile's where it names one. Raises ProfileError."""
    chosen = model.prior.profile
    if chosen is None:
        return RequestPrior(model.prior.energy_joules, None)
    entry = _entry(chosen.file, chosen.model or model.id)
    joules = entry.get("joules")
    if not isinstance(joules, dict):
        raise ProfileError(f"has no joules of {chosen.model or model.id}: profile it with a meter")
    return RequestPrior(
        _value(joules, chosen.prompt_tokens, chosen.output_tokens), _value(entry, chosen.prompt_tokens, 1)
    )


def _entry(file: Path, name: str) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ProfileError(f"is no JSON: {error}") from None
    entry = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entry, dict):
        known = ", ".join(content) if isinstance(content, dict) else "nothing"
        raise ProfileError(f"has no profile of {name}, only of {known}: name it with model")
    return entry


def _value(quantity: Mapping[str, Any], prompt_tokens: int, output_tokens: int) -> float:
    """alpha_p + (beta + beta1 p)(o - 1) + overhead. Raises ProfileError where that is not above 0."""
    try:
        table = sorted((int(tokens), float(value)) for tokens, value in quantity[_TABLE].items())
        slope = float(quantity[_SLOPE]) + float(quantity.get(_KV, 0.0)) * prompt_tokens
        overhead = float(quantity.get(_OVERHEAD) or 0.0)
        found = _interpolated(table, prompt_tokens) + slope * (output_tokens - 1) + overhead
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"is no profile as `messplus profile --json` writes it: {error!r}") from None
    if not (math.isfinite(found) and found > 0.0):
        raise ProfileError(f"says {found} for {prompt_tokens} prompt and {output_tokens} output tokens")
    return found


def _interpolated(table: list[tuple[int, float]], prompt_tokens: int) -> float:
    """Flat below the shortest length; beyond the longest as between the last two."""
    lengths = [length for length, _ in table]
    values = list(accumulate((value for _, value in table), max))
    if prompt_tokens <= lengths[0]:
        return values[0]
    after = min(bisect_left(lengths, prompt_tokens), len(lengths) - 1)
    share = (prompt_tokens - lengths[after - 1]) / (lengths[after] - lengths[after - 1])
    return values[after - 1] + share * (values[after] - values[after - 1])
