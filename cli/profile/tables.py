"""Profiles as tables, for the terminal and for the page."""

from planner.runtime.profile import Idealized, Profile
from planner.runtime.study import Study

HEADINGS = ("model", "seconds", "joules", "dollars", "s per output token", "steps of prompt tokens", "")
ERROR_HEADINGS = ("prompt term", "left-out lengths", "mean error", "p95 error")


def profile_rows(study: Study) -> list[tuple[str, ...]]:
    """One line per profile, the fastest first; a star marks what is extrapolated."""
    pairs = zip(study.profiles, study.requests, strict=True)
    return [_row(profile, found) for profile, found in sorted(pairs, key=lambda pair: pair[1].seconds)]


def _row(profile: Profile, found: Idealized) -> tuple[str, ...]:
    joules = "-"
    if found.joules is not None and found.tier is not None:
        joules = f"{found.joules:.4g} {found.tier.value}"
    term = profile.seconds.term()
    return (
        profile.name,
        f"{found.seconds:.4g}" + ("*" if found.extrapolated else ""),
        joules,
        "-" if found.dollars is None else f"{found.dollars:.3g}",
        f"{profile.seconds.per_output_token:.4g}",
        "none" if term.tile == 1 else str(term.tile),
        "; ".join((*found.extrapolated, *profile.notes)),
    )


def error_rows(study: Study) -> list[tuple[str, ...]]:
    """How far each prompt term is off lengths that it has not seen."""
    return [
        (name, "-", "too few lengths", "-")
        if error is None
        else (name, str(error.points), f"{100 * error.mean:.2f} %", f"{100 * error.p95:.2f} %")
        for name, error in study.held_out.items()
    ]


def request_title(study: Study) -> str:
    """What is predicted."""
    return f"One request alone: {study.prompt_tokens} prompt and {study.output_tokens} output tokens"
