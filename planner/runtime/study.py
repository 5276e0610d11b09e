"""Profiles of several models or stacks beside each other, for one size of request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.runtime.evaluation import ESTIMATORS, HeldOut, leave_one_out
from planner.runtime.profile import Hardware, Idealized, Mode, Profile, idealized


@dataclass(frozen=True, slots=True)
class Study:
    """What every profile says of one request, and how well its prompt term predicts."""

    profiles: tuple[Profile, ...]
    prompt_tokens: int
    output_tokens: int
    hardware: Hardware
    mode: Mode
    requests: tuple[Idealized, ...]
    """Parallel to `profiles`."""
    held_out: Mapping[str, HeldOut | None]
    """Estimator -> its error over all profiles' left-out prompt lengths."""
    accuracy: Mapping[str, float]
    """Name -> accuracy in [0, 1], of the models where it is known."""


def run_study(
    profiles: Sequence[Profile],
    tokens: tuple[int, int],
    hardware: Hardware,
    mode: Mode,
    accuracy: Mapping[str, float],
) -> Study:
    """Predicts a request of `tokens` (prompt, output) with every profile."""
    tables = [profile.seconds.for_prompt for profile in profiles]
    return Study(
        tuple(profiles),
        *tokens,
        hardware,
        mode,
        tuple(idealized(profile, *tokens, hardware, mode) for profile in profiles),
        {name: leave_one_out(tables, term) for name, term in ESTIMATORS.items()},
        accuracy,
    )


def efficient(costs: Mapping[str, float], accuracy: Mapping[str, float]) -> tuple[str, ...]:
    """Names that no other one beats in both, by rising cost; of equals the first."""
    kept: list[str] = []
    for name in sorted(costs, key=lambda name: (costs[name], -accuracy[name])):
        if not kept or accuracy[name] > accuracy[kept[-1]]:
            kept.append(name)
    return tuple(kept)


def document(study: Study) -> dict[str, Any]:
    """Predictions and held-out errors as JSON values."""
    return {
        "request": {"prompt_tokens": study.prompt_tokens, "output_tokens": study.output_tokens},
        "mode": study.mode.value,
        "models": {
            profile.name: {
                "seconds": found.seconds,
                "joules": found.joules,
                "joules_are": None if found.tier is None else found.tier.value,
                "dollars": found.dollars,
                "extrapolated": list(found.extrapolated),
                "notes": list(profile.notes),
            }
            for profile, found in zip(study.profiles, study.requests, strict=True)
        },
        "left_out_prompt_lengths": {
            name: None if error is None else {"points": error.points, "mean": error.mean, "p95": error.p95}
            for name, error in study.held_out.items()
        },
    }
