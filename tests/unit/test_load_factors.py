"""Joules at the load of a worker: who pays what, what is recorded and learned, what never changes."""

import numpy as np
import pytest
from fold_events import MODELS, at, decision, energy, outcome, redecision
from pacer_world import Loop, requests

from services.core.energy_model import StepLaw
from services.core.event_checks import problem_of
from services.core.events import Role
from services.core.fold import Fold
from services.core.policies.base import ModelPrior
from services.core.policies.registry import policy_from_config
from services.router.fleet import Fleet, WorkerState
from services.router.ports import WorkerLoad, WorkerStatus
from tests.unit.router_fakes import FakeWorker, states_of, zoo_of

LOADS = (0.25, 1.0, 0.5)
PRIORS = [ModelPrior(model, 0.5, 4.0) for model in MODELS]


def fleet_of(step_joules=3.0, workers=2, max_batch_size=4):
    zoo = zoo_of(step_joules=step_joules)
    states = states_of(zoo, [FakeWorker(), FakeWorker()])
    states += [WorkerState("small", f"more:{i}", FakeWorker()) for i in range(workers - 2)]
    fleet = Fleet(zoo, states)
    for state in states:
        fleet.update(state, WorkerStatus(True, "", state.address, 2048, max_batch_size))
    return fleet


def test_idle_workers_and_steps_without_fixed_cost_have_no_factors():
    assert fleet_of().load_factors() is None
    free = fleet_of(step_joules=0.0)
    free.workers[0].in_flight = 3
    assert free.load_factors() is None


def test_a_loaded_worker_shares_its_fixed_cost():
    fleet = fleet_of()
    fleet.workers[1].load = WorkerLoad(2, 0)
    assert fleet.load_factors().tolist() == [1.0, (3.0 / 3.0 + 1.0) / 4.0]
    fleet.workers[1].in_flight = 3
    assert fleet.load_factors().tolist() == [1.0, (3.0 / 4.0 + 1.0) / 4.0]


def test_who_waits_shares_no_step():
    fleet = fleet_of(max_batch_size=2)
    fleet.workers[0].in_flight = 50
    assert fleet.load_factors().tolist() == [(3.0 / 2.0 + 1.0) / 4.0, 1.0]


def test_what_steps_cost_as_measured_counts_in_place_of_the_zoo_file():
    fleet = fleet_of()
    fleet.workers[1].load = WorkerLoad(2, 0)
    fleet.take_step_laws({"large": StepLaw(12.0, 4.0), "of another zoo": StepLaw(1.0, 1.0)})
    assert fleet.load_factors().tolist() == [1.0, (12.0 / 3.0 + 4.0) / 16.0]


def test_the_worker_that_would_be_picked_counts_and_none_is_idle():
    fleet = fleet_of(workers=3)
    fleet.workers[0].in_flight = 3
    assert fleet.load_factors() is None
    fleet.workers[2].in_flight = 1
    assert fleet.load_factors()[0] == (3.0 / 2.0 + 1.0) / 4.0
    for state in fleet.workers:
        fleet.update(state, WorkerStatus(False, "away"))
    assert fleet.load_factors() is None


def fold_of(*events):
    fold = Fold(policy_from_config("pacer", {}, MODELS), PRIORS, 2)
    for position, event in enumerate(events, start=1):
        fold.apply(at(position, event))
    return fold


def test_what_was_measured_under_load_teaches_joules_of_an_idle_worker():
    loaded = fold_of(decision(load_factors=LOADS), energy(2.0, "small")).state
    idle = fold_of(decision(), energy(8.0, "small")).state
    for name, array in loaded.policy_state.energy.arrays().items():
        np.testing.assert_array_equal(array, idle.policy_state.energy.arrays()[name])
    # Bills and running means stay what was measured.
    assert loaded.sla_class("standard").energy_joules == 2.0
    assert loaded.energy[0].total_joules == 42.0


def test_a_model_that_took_over_is_taken_at_its_own_load():
    events = (outcome("small", Role.FAILED), redecision("small", "large"))
    loaded = fold_of(decision(load_factors=LOADS), *events, energy(3.0, "large-again")).state
    idle = fold_of(decision(), *events, energy(6.0, "large-again")).state
    np.testing.assert_array_equal(
        loaded.policy_state.energy.belief.mean, idle.policy_state.energy.belief.mean
    )


@pytest.mark.parametrize("wrong", [(1.0,), (0.0, 1.0, 1.0), (1.5, 1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_impossible_factors_are_put_aside(wrong):
    assert "load_factors" in problem_of(decision(load_factors=wrong), 2)
    assert problem_of(decision(load_factors=LOADS), 2) is None


def test_factors_of_one_change_no_bit():
    plain, ones = Loop(), Loop(load_factors=np.ones(3))
    for loop in (plain, ones):
        loop.run(*requests(3, 300))
    assert plain.served == ones.served
    for name, array in plain.state.arrays().items():
        np.testing.assert_array_equal(array, ones.state.arrays()[name])
    assert (plain.state.load_factors == 1.0).all()


def test_load_that_all_share_changes_no_decision_but_lambda():
    """The same zoo with a quarter of the joules: lambda is solved at the usual load."""
    plain = Loop()
    loaded = Loop(load_factors=np.full(3, 0.25))
    loaded.state.load_factors[:] = 0.25
    for loop in (plain, loaded):
        loop.run(*requests(3, 600))
    same = np.mean([one == other for one, other in zip(plain.served, loaded.served, strict=True)])
    assert same > 0.98
    assert np.exp(np.median(np.subtract(loaded.log_lambdas, plain.log_lambdas))) == pytest.approx(
        0.25, rel=0.02
    )


def test_a_model_whose_worker_is_loaded_is_served_more():
    plain, loaded = Loop(), Loop(load_factors=np.array([1.0, 0.2, 1.0]))
    for loop in (plain, loaded):
        loop.run(*requests(3, 600))
    assert loaded.served.count(1) > 1.15 * plain.served.count(1)
    x = requests(4, 1)[0][0]
    assert loaded.decide(x).energy_joules[1] < 0.5 * plain.decide(x).energy_joules[1]
