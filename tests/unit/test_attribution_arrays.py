"""Arrays split large batches to the very microjoule as the exact arithmetic does."""

import numpy as np
import pytest

from services.core.attribution import GenerationWork, Step, StepCoefficients, Window, attribute_window
from services.core.attribution_arrays import MIN_WORK, split_between

MILLISECOND = 1_000_000


def batch(random: np.random.Generator, size: int, equal: bool) -> tuple[GenerationWork, ...]:
    return tuple(
        GenerationWork(
            f"g{i}",
            int(random.integers(1, 900)) if random.random() < 0.1 and not equal else 0,
            int(random.random() < 0.95) if not equal else 1,
            500 if equal else int(random.integers(1, 4000)),
        )
        for i in random.permutation(size + 3)[:size]
    )


def schedule(random: np.random.Generator, equal: bool) -> list[Step]:
    size, now, steps = int(random.integers(MIN_WORK, 70)), 0, []
    costs = random.uniform(0, 1, 5) * [0.02, 1e-6, 0.05, 2e-5, 2.0] * (random.random(5) < 0.8)
    for _ in range(int(random.integers(1, 4))):
        length = int(random.integers(1, 30 * MILLISECOND))
        steps.append(Step(now, now + length, batch(random, size, equal), StepCoefficients(*costs.tolist())))
        now += length
    return steps


def exactly(step: Step) -> Step:
    """The same step without its columns, which leaves only the exact way."""
    plain = Step(step.start_nanoseconds, step.end_nanoseconds, step.work, step.coefficients)
    object.__setattr__(plain, "columns", None)
    return plain


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("seed", range(100))
def test_both_ways_agree_to_the_microjoule(seed: int, equal: bool) -> None:
    random = np.random.default_rng(seed)
    steps = schedule(random, equal)
    start = int(random.integers(0, steps[-1].end_nanoseconds))
    window = Window(
        start, steps[-1].end_nanoseconds + int(random.integers(1, 9)), int(random.integers(0, 2 * 10**7))
    )
    idle_watts = float(random.choice([0.0, 100.0]))
    fast = attribute_window(window, steps, idle_watts)
    exact = attribute_window(window, [exactly(step) for step in steps], idle_watts)
    assert dict(fast.shares) == dict(exact.shares)
    assert fast.unattributed == exact.unattributed


def test_ordinary_windows_need_no_exact_arithmetic() -> None:
    random = np.random.default_rng(1)
    costs = StepCoefficients(0.02, 1e-6, 0.05, 2e-5, 2.0)
    done = 0
    for _ in range(200):
        step = Step(0, 20 * MILLISECOND, batch(random, 64, equal=False), costs)
        done += (
            split_between(int(random.integers(10**6, 10**7)), [(step, 20 * MILLISECOND)], 100.0) is not None
        )
    assert done > 190


def test_small_steps_are_left_to_the_exact_way() -> None:
    step = Step(
        0, 5, batch(np.random.default_rng(2), MIN_WORK - 1, equal=False), StepCoefficients(1, 0, 1, 0, 1)
    )
    assert step.columns is None
    assert split_between(1000, [(step, 5)], 1.0) is None
