"""What is known of one model on one stack, and what it says of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from planner.runtime.prompt_term import PromptTerm, fit_prompt_term
from services.core.events import FloatArray


class Mode(Enum):
    """How the prompt's time is looked up."""

    DEFAULT = "default"
    """Monotone interpolation."""
    HELM = "helm"
    """The published lookup, bit for bit."""


class Tier(Enum):
    """Where joules are from."""

    MEASURED = "measured"
    MODELLED = "modelled"
    """From a measured proxy, as CPU-seconds x watts per core."""
    ESTIMATED = "estimated"
    """Time x accelerators x board power."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A quantity as alpha_p + (beta + beta1 p)(o - 1): seconds, or joules."""

    for_prompt: Mapping[int, float]
    """alpha by measured prompt tokens, > 0."""
    per_output_token: float
    """beta, >= 0."""
    per_output_token_and_prompt_token: float = 0.0
    """beta1: reading keys and values of the prompt, >= 0; 0 where it does not pay."""
    overhead: float | None = None
    """Constant of an API, in denoised profiles."""

    def term(self) -> PromptTerm:
        """The default prompt term."""
        return fit_prompt_term(self.for_prompt)


@dataclass(frozen=True, slots=True)
class Profile:
    """One model on one stack."""

    name: str
    seconds: Linear
    joules: Linear | None = None
    """Where a meter was read."""
    output_tokens: tuple[int, int] | None = None
    """Least and most that were measured; None where the file does not say."""
    notes: tuple[str, ...] = ()
    joules_tier: Tier = Tier.MEASURED
    """Of `joules`."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a request occupies."""

    gpus: int = 1
    dollars_per_gpu_hour: float | None = None
    board_watts: float | None = None
    """Of one accelerator, for joules that no meter measured."""


@dataclass(frozen=True, slots=True)
class Idealized:
    """What one request takes, alone on its hardware."""

    seconds: float
    joules: float | None
    """None without meter and board power."""
    tier: Tier | None
    dollars: float | None
    extrapolated: tuple[str, ...] = field(default=())
    """What lies outside of the measured range, with that range."""


def idealized(
    profile: Profile, prompt_tokens: int, output_tokens: int, hardware: Hardware, mode: Mode = Mode.DEFAULT
) -> Idealized:
    """Runtime, energy and cost of a request of `prompt_tokens` >= 1 and `output_tokens` >= 0."""
    seconds = predicted(profile.seconds, prompt_tokens, output_tokens, mode)
    joules, tier = None, None
    if profile.joules is not None:
        joules, tier = predicted(profile.joules, prompt_tokens, output_tokens, mode), profile.joules_tier
    elif hardware.board_watts is not None:
        joules, tier = seconds * hardware.gpus * hardware.board_watts, Tier.ESTIMATED
    price = hardware.dollars_per_gpu_hour
    dollars = None if price is None else seconds * hardware.gpus * price / 3600.0
    return Idealized(seconds, joules, tier, dollars, _outside(profile, prompt_tokens, output_tokens))


def predicted(quantity: Linear, prompt_tokens: int, output_tokens: int, mode: Mode = Mode.DEFAULT) -> float:
    """Seconds or joules of a request."""
    if mode is Mode.HELM:
        return helm_lookup(quantity, prompt_tokens, output_tokens)
    sizes = np.array([prompt_tokens], np.float64), np.array([output_tokens], np.float64)
    return float(predicted_all(quantity, *sizes)[0])


def predicted_all(quantity: Linear, prompt_tokens: FloatArray, output_tokens: FloatArray) -> FloatArray:
    """Seconds or joules of many requests by the default estimator; all of one shape."""
    slopes = quantity.per_output_token + quantity.per_output_token_and_prompt_token * prompt_tokens
    later = slopes * np.maximum(0.0, output_tokens - 1.0)
    total: FloatArray = quantity.term().at(prompt_tokens) + later + (quantity.overhead or 0.0)
    return total


def helm_lookup(quantity: Linear, prompt_tokens: int, output_tokens: int) -> float:
    """HELM's formula, in its order: smallest key k >= p, R[k] (p / k); beyond K R[K] (p / K)."""
    keys = sorted(quantity.for_prompt)
    key = next((key for key in keys if prompt_tokens <= key), keys[-1])
    result = quantity.for_prompt[key] * (prompt_tokens / key)
    if output_tokens > 0:
        result += quantity.per_output_token * (output_tokens - 1)
    if quantity.overhead is not None:
        result += quantity.overhead
    return result


def _outside(profile: Profile, prompt_tokens: int, output_tokens: int) -> tuple[str, ...]:
    prompts = min(profile.seconds.for_prompt), max(profile.seconds.for_prompt)
    asked = (("prompt", prompt_tokens, prompts), ("output", output_tokens, profile.output_tokens))
    return tuple(
        f"{value} {name} tokens are outside the measured {span[0]} to {span[1]}"
        for name, value, span in asked
        if span is not None and not span[0] <= value <= span[1]
    )
