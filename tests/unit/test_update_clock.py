"""Update times are told from looks; what is not steady is left as it was seen."""

import numpy as np
import pytest

from services.core.update_clock import UpdateClock

MILLISECOND = 1_000_000


def looks(period: float, poll: float, count: int, seed: int) -> tuple[list[int], list[float]]:
    """When changes were seen, and when they were."""
    random = np.random.default_rng(seed)
    updates = (np.arange(count) + 0.3) * period
    polls = np.cumsum(poll + random.exponential(poll / 50, round(count * period / poll) + 10))
    seen = polls[np.searchsorted(polls, updates)]
    return [round(t * MILLISECOND) for t in seen], [float(t) for t in updates]


@pytest.mark.parametrize(("period", "poll"), [(100, 20), (50, 20), (33.3, 10)])
def test_steady_updates_are_found_but_for_a_constant(period: float, poll: float) -> None:
    clock = UpdateClock()
    seen, updates = looks(period, poll, 1000, 1)
    refined = [clock.refine(at) for at in seen]
    late = np.array(refined[500:]) / MILLISECOND - np.array(updates[500:])
    assert clock.period_nanoseconds == pytest.approx(period * MILLISECOND, rel=1e-4)
    assert np.std(late) < 0.1 * poll
    assert 0 <= np.mean(late) <= 1.1 * poll
    assert (np.diff(refined) > 0).all()


def test_irregular_updates_stay_as_they_were_seen() -> None:
    clock = UpdateClock()
    times = np.cumsum(np.random.default_rng(2).exponential(50 * MILLISECOND, 1000)).astype(int).tolist()
    assert [clock.refine(at) for at in times] == times


def test_a_clock_that_begins_anew_is_followed() -> None:
    clock = UpdateClock()
    seen, _ = looks(100, 20, 600, 3)
    for at in seen:
        clock.refine(at)
    assert clock.period_nanoseconds > 0
    assert clock.refine(5) == 5
    assert clock.period_nanoseconds == 0
