"""What every policy must satisfy, and what is particular to the baselines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidSnapshotError
from services.core.exploration import DecisionRandom
from services.core.policies.base import ClassView, Context, ModelPrior
from services.core.policies.baselines import cheapest_mixture
from services.core.policies.registry import policy_from_config

MODELS = ("small", "medium", "large")
PRIORS = [ModelPrior("small", 0.4, 1.0), ModelPrior("medium", 0.6, 3.0), ModelPrior("large", 0.9, 10.0)]
NAMES = ("pacer", "messplus-2024", "messplus-2025", "static-mixture", "single:medium")
FEATURES = 4

masks = st.lists(st.booleans(), min_size=3, max_size=3).filter(any)


def make(name, **parameters):
    return policy_from_config(name, parameters, MODELS)


def context(
    eligible=(True, True, True), *, step=100, queue=1.0, alpha=0.7, joules=(1.0, 3.0, 10.0), known=None
):
    features = np.random.default_rng(5).normal(size=FEATURES)
    sla = ClassView(alpha, step, queue, 0.0)
    return Context(features, np.array(joules), np.array(eligible), sla, known)


def learned(name):
    policy = make(name)
    state = policy.initial_state(PRIORS, FEATURES)
    rng = np.random.default_rng(2)
    for _ in range(5):
        policy.learn_exploration(state, rng.normal(size=FEATURES), rng.integers(0, 2, 3).astype(float))
    return policy, state


@pytest.mark.parametrize("name", NAMES)
@given(masks, st.integers(0, 2**64 - 1), st.floats(0, 100), st.floats(0.01, 0.99), st.integers(1, 10**9))
def test_only_eligible_models_are_served(name, eligible, seed, queue, alpha, step):
    policy = make(name)
    state = policy.initial_state(PRIORS, FEATURES)
    action = policy.decide(
        context(eligible, step=step, queue=queue, alpha=alpha), state, DecisionRandom(seed)
    )
    assert eligible[action.model_index]
    assert action.satisfaction_means.shape == action.scores.shape == (3,)
    assert ((action.satisfaction_means >= 0) & (action.satisfaction_means <= 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_deciding_changes_nothing_and_repeats_itself(name):
    policy, state = learned(name)
    before = {key: array.copy() for key, array in policy.state_arrays(state).items()}
    first, second = (policy.decide(context(), state, DecisionRandom(9)) for _ in range(2))
    assert (first.model_index, first.explored) == (second.model_index, second.explored)
    assert np.array_equal(first.scores, second.scores)
    assert all(np.array_equal(array, before[key]) for key, array in policy.state_arrays(state).items())


@pytest.mark.parametrize("name", NAMES)
def test_a_state_survives_its_arrays(name):
    policy, state = learned(name)
    restored = policy.state_from_arrays(policy.state_arrays(state), PRIORS, FEATURES)
    original, copy = (policy.decide(context(), s, DecisionRandom(1)) for s in (state, restored))
    assert np.array_equal(original.scores, copy.scores)
    policy.learn_exploration(restored, np.ones(FEATURES), np.ones(3))
    assert np.array_equal(policy.decide(context(), state, DecisionRandom(1)).scores, original.scores)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_of_another_zoo_are_refused(name):
    policy = make(name)
    with pytest.raises(InvalidSnapshotError):
        policy.state_from_arrays({"weights": np.zeros((9, 9))}, PRIORS, FEATURES)


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_is_called_what_the_zoo_calls_it(name):
    assert make(name).name == name


def test_ties_go_to_the_cheaper_model():
    policy = make("messplus-2025", energy_weight=0.0, exploration_scale=0.0)
    state = policy.initial_state([ModelPrior(m, 0.5) for m in MODELS], FEATURES)
    assert policy.decide(context(joules=(5.0, 2.0, 2.0)), state, DecisionRandom(0)).model_index == 1


@pytest.mark.parametrize(("name", "known_choice"), [("messplus-2024", 1), ("messplus-2025", 2)])
def test_what_an_exploration_serves(name, known_choice):
    policy = make(name, exploration_scale=1e6)
    state = policy.initial_state(PRIORS, FEATURES)
    live = policy.decide(context(), state, DecisionRandom(0))
    assert (live.explored, live.model_index) == (True, 2)
    without_large = policy.decide(context((True, True, False)), state, DecisionRandom(0))
    assert without_large.model_index == 1
    known = policy.decide(context(known=np.array([0.0, 1.0, 1.0])), state, DecisionRandom(0))
    assert known.model_index == known_choice


def test_exploration_happens_as_often_as_published():
    policy = make("messplus-2025", exploration_scale=1.0)
    state = policy.initial_state(PRIORS, FEATURES)
    explored = sum(policy.decide(context(step=16), state, DecisionRandom(i)).explored for i in range(4000))
    assert 1900 < explored < 2100  # 16^(-1/4) = .5, within three standard deviations


def mixture(alpha, eligible=(True, True, True), satisfaction=(0.4, 0.6, 0.9), joules=(1.0, 3.0, 10.0)):
    return cheapest_mixture(np.array(satisfaction), np.array(joules), np.array(eligible), alpha).tolist()


def test_cheapest_mixtures_by_hand():
    # .5: half small and half medium cost 2 J; .2 large and .8 small cost 2.8 J.
    assert mixture(0.5) == pytest.approx([0.5, 0.5, 0.0])
    # .75: half medium and half large cost 6.5 J; .7 large and .3 small cost 7.3 J.
    assert mixture(0.75) == pytest.approx([0.0, 0.5, 0.5])
    assert mixture(0.3) == [1.0, 0.0, 0.0]
    assert mixture(0.75, eligible=(True, False, True)) == pytest.approx([0.3, 0.0, 0.7])
    # Infeasible: the best eligible model, of equals the cheaper.
    assert mixture(0.95) == [0.0, 0.0, 1.0]
    assert mixture(0.95, satisfaction=(0.4, 0.9, 0.9)) == [0.0, 1.0, 0.0]


units = st.floats(0.01, 0.99)


@given(st.lists(units, min_size=3, max_size=3), st.lists(st.floats(0.1, 50), min_size=3, max_size=3), units)
def test_no_mixture_of_a_grid_is_cheaper(satisfaction, joules, alpha):
    chosen = np.array(mixture(alpha, satisfaction=satisfaction, joules=joules))
    assert chosen.sum() == pytest.approx(1.0)
    if max(satisfaction) < alpha:
        assert satisfaction[int(chosen.argmax())] == max(satisfaction)
        return
    assert chosen @ satisfaction >= alpha - 1e-9
    grid = np.array([(i, j, 20 - i - j) for i in range(21) for j in range(21 - i)]) / 20
    feasible = grid[grid @ satisfaction >= alpha]
    assert (feasible @ joules >= chosen @ joules - 1e-9).all()


def test_the_mixture_is_drawn_in_its_proportions():
    policy = make("static-mixture")
    state = policy.initial_state(PRIORS, FEATURES)
    drawn = [policy.decide(context(alpha=0.75), state, DecisionRandom(i)).model_index for i in range(4000)]
    assert set(drawn) == {1, 2}
    assert 1900 < drawn.count(1) < 2100


def test_a_single_model_gives_way_only_when_it_must():
    policy = make("single:medium")
    state = policy.initial_state(PRIORS, FEATURES)
    assert policy.decide(context(), state, DecisionRandom(0)).model_index == 1
    assert policy.decide(context((True, False, True)), state, DecisionRandom(0)).model_index == 2


def test_a_mixture_without_priors_says_which_it_needs():
    with pytest.raises(ValueError, match="small, large"):
        make("static-mixture").initial_state(
            [ModelPrior("small"), PRIORS[1], ModelPrior("large", 0.5)], FEATURES
        )


@pytest.mark.parametrize(
    ("name", "parameters", "complaints"),
    [
        ("pareto", {}, ["name = 'pareto'", "messplus-2025"]),
        ("single:huge", {}, ["single:huge", "single:large"]),
        ("static-mixture", {"energy_weight": 1}, ["energy_weight = 1", "allowed names: none"]),
        ("messplus-2025", {"energy_weight": -1.0}, ["energy_weight = -1.0", "from 0 to 1e+06 (1/J)"]),
        ("messplus-2025", {"momentum": "high"}, ["momentum = 'high'", "a number from 0 to 0.999"]),
        ("messplus-2025", {"seed": 1.5}, ["seed = 1.5", "an integer"]),
        ("messplus-2025", {"seed": True}, ["seed = True"]),
        ("messplus-2024", {"learning_rate": float("nan"), "c": 1}, ["learning_rate = nan", "c = 1"]),
    ],
)
def test_bad_configurations_name_field_value_and_what_is_allowed(name, parameters, complaints):
    with pytest.raises(ValueError, match="allowed") as caught:
        policy_from_config(name, parameters, MODELS)
    assert all(complaint in str(caught.value) for complaint in complaints)


def test_whole_numbers_serve_as_numbers():
    assert make("messplus-2024", energy_weight=2).energy_weight == 2.0
