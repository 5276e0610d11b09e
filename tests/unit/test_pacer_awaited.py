"""Labels on their way, and the reserve that a class keeps: what they change, and where they must not."""

import numpy as np
import pytest
from pacer_world import Loop, requests

from services.core.policies.pacer import Pacer
from services.core.policies.pacer_awaited import Awaited
from services.core.policies.pacer_control import Candidates, ClassControl, reserve_requests
from services.core.policies.pacer_parameters import PacerParameters

PARAMETERS = PacerParameters()


def flat(joules):
    """Candidates among which each model is best for a third of the requests, at these joules."""
    satisfaction = np.eye(3).repeat(10, axis=0)
    return Candidates(satisfaction, satisfaction, np.tile(joules, (30, 1)))


def control(steps, log_lambda):
    return ClassControl(steps, log_lambda, np.zeros(2), np.zeros((0, 2), np.float16))


def test_labels_that_come_at_once_leave_nothing_to_wait_for():
    loop = Loop().run(*requests(3, 200))
    assert loop.state.awaited.counts.max() < 1.0


def test_labels_that_stay_away_make_noise_small_and_their_coming_gives_nothing_back():
    features, satisfied, joules = requests(3, 200)
    loop = Loop().run(features, satisfied, joules, labelled=np.zeros(200, bool))
    control = loop.state.classes["standard"]
    raw = loop.state.mean_sd(control)
    served = np.bincount(loop.served, minlength=3)
    quiet = loop.state.view(PARAMETERS).controls["standard"]
    most = int(served.argmax())
    assert quiet.mean_sds[0][most] < 0.5 * raw[most]
    for x, m, label in zip(features, loop.served, satisfied[np.arange(200), loop.served], strict=True):
        loop.policy.learn_label(loop.state, x, m, label)
    after = loop.state.view(PARAMETERS).controls["standard"]
    assert loop.state.awaited.counts.max() < 1.0
    assert loop.state.mean_sd(control)[most] < raw[most]
    assert after.mean_sds[0][most] == pytest.approx(quiet.mean_sds[0][most], rel=0.5)


def test_what_never_comes_is_forgotten():
    awaited = Awaited(np.array([100.0, 0.0]))
    for _ in range(3000):
        awaited.decided(1, 0.0)
    assert awaited.counts[0] < 0.5


def test_where_satisfaction_is_cheap_more_of_it_is_kept():
    cheap, dear = (
        reserve_requests(PARAMETERS, control(1000, np.log(price)), flat([1.0, 2.0, 3.0]), 1000.0)
        for price in (4.0, 40.0)
    )
    assert cheap == pytest.approx(10.0 * dear, rel=0.01)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_reserve_has_no_unit(scale):
    kept = [
        reserve_requests(PARAMETERS, control(500, np.log(8.0 * unit)), flat(np.arange(1.0, 4.0) * unit), 500)
        for unit in (1.0, scale)
    ]
    assert kept[0] == pytest.approx(kept[1])


def test_a_free_lunch_is_bounded_by_the_window():
    assert reserve_requests(PARAMETERS, control(10_000, -20.0), flat([1.0, 2.0, 3.0]), 400.0) < 10.0


def test_without_a_reserve_more_streams_end_below_their_target():
    """The last mean of short streams, by chance on either side of alpha: the reserve moves it up."""

    def finals(parameters):
        loops = (Loop(policy=Pacer(parameters)).run(*requests(seed, 400)) for seed in range(12))
        return np.mean([np.mean(loop.satisfactions) for loop in loops])

    assert finals(PARAMETERS) > finals(PacerParameters(reserve=0.0))
