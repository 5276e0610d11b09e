"""Which points nothing beats, with noise taken into account."""

from collections.abc import Sequence

from planner.pareto.sweep import Estimate, Point

Objectives = tuple[Estimate, ...]
"""What is compared; smaller is better in each."""


def objectives(point: Point, *, with_energy: bool) -> Objectives:
    """Throughput (negated), inter-token latency, and joules per token if all points have them."""
    found = [Estimate(-point.throughput.mean, point.throughput.half), point.itl]
    if with_energy and point.joules_per_token is not None:
        found.append(point.joules_per_token)
    return tuple(found)


def has_energy(points: Sequence[Point]) -> bool:
    """Whether energy was measured everywhere: what was not measured is not compared."""
    return all(point.joules_per_token is not None for point in points)


def frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """The non-dominated set, from the least to the highest throughput.

    First the set by means, which is never empty. Of it, a point goes that owes its place to noise: another
    one that stays is better by more than the interval of the difference somewhere, and nowhere worse by more.
    """
    with_energy = has_energy(points)
    means = [(point, objectives(point, with_energy=with_energy)) for point in points]
    candidates = [(p, o) for p, o in means if not any(_beats(other, o) for _, other in means)]
    candidates.sort(key=lambda found: found[0].throughput.mean, reverse=True)
    kept: list[tuple[Point, Objectives]] = []
    for point, values in candidates:
        if not any(surely_beats(other, values) for _, other in kept):
            kept = [(p, o) for p, o in kept if not surely_beats(values, o)]
            kept.append((point, values))
    return tuple(sorted((point for point, _ in kept), key=lambda point: point.throughput.mean))


def _beats(first: Objectives, second: Objectives) -> bool:
    """By means: nowhere worse, somewhere better."""
    pairs = [(a.mean, b.mean) for a, b in zip(first, second, strict=True)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def surely_beats(first: Objectives, second: Objectives) -> bool:
    """Somewhere better by more than the interval of the difference, and nowhere worse by more than it."""
    pairs = list(zip(first, second, strict=True))
    sure = [(a.mean < b.mean) for a, b in pairs if a.differs(b)]
    return bool(sure) and all(sure)
