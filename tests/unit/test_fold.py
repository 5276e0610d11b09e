"""Joins of events in every order: what counts, what counts once, and what is put aside."""

import dataclasses

import numpy as np
import pytest
from fold_events import MODELS, at, decision, energy, label, outcome, redecision

from services.core.events import Position, Role
from services.core.fold import Fold, FoldSettings, JoinLimits
from services.core.learner_state import energy_means_joules
from services.core.policies.base import ModelPrior
from services.core.policies.registry import policy_from_config
from services.core.policies.whole_state import WholeState

HOUR = 3600 * 1000
PRIORS = [ModelPrior(model, 0.5, 2.0) for model in MODELS]


class LearningFold(Fold):
    """A fold whose policy writes down what it is taught."""

    def __init__(self, learns_from_served=False, **limits):
        policy = RecordingPolicy(learns_from_served)
        self.taught, self.loads = policy.taught, policy.loads
        super().__init__(policy, PRIORS, 2, FoldSettings(JoinLimits(**limits)))


class RecordingPolicy(WholeState):
    def __init__(self, learns_from_served):
        self._inner = policy_from_config("messplus-2025", {}, MODELS)
        self.learns_from_served, self.taught, self.audited = learns_from_served, [], []
        self.loads = []

    name = "recording"

    def initial_state(self, priors, feature_count):
        return self._inner.initial_state(priors, feature_count)

    def learn_decision(self, state, features, model_index, sla, load_factors=None):
        self.loads.append(None if load_factors is None else load_factors.tolist())
        self.taught.append(("decision", features.tolist(), model_index, sla.sla_class, sla.debt))

    def learn_exploration(self, state, features, satisfaction):
        self.taught.append(
            ("exploration", features.tolist(), [None if np.isnan(s) else s for s in satisfaction])
        )

    def answer_ratio(self, state):
        return 1.0

    def learn_label(self, state, features, model_index, satisfaction, *, audited=False):
        self.taught.append(("label", features.tolist(), model_index, satisfaction))
        self.audited.append(audited)

    def learn_energy(self, state, features, model_index, energy_joules):
        self.taught.append(("energy", features.tolist(), model_index, energy_joules))

    def state_arrays(self, state):
        return self._inner.state_arrays(state)


@pytest.fixture
def fold():
    return LearningFold()


def feed(fold, *events, start=1):
    for offset, event in enumerate(events):
        fold.apply(at(start + offset, event))
    return fold.state.sla_class("standard")


def test_a_served_request(fold):
    statistics = feed(fold, decision(alpha=0.75, charged=0.25), label(0.5), energy(7.0, "small"))
    assert (statistics.steps, statistics.labelled, statistics.served) == (1, 1, [1, 0, 0])
    assert statistics.virtual_queue == 0.25
    assert statistics.mean_satisfaction == 0.5
    assert statistics.model_shares() == (1.0, 0.0, 0.0)
    assert statistics.ledger.debt == 0.25  # alpha minus the label: every due decision is labelled
    assert statistics.energy_joules == 7.0
    # Ten pseudo-observations of 2 J and one of 7 J.
    assert energy_means_joules(fold.state).tolist() == pytest.approx([27 / 11, 2.0, 2.0])
    assert fold.open_joins == 0
    assert fold.taught == []


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_the_order_of_a_requests_events_does_not_matter(order):
    events = (decision(alpha=0.75), label(0.0), energy(4.0, "small"))
    fold = LearningFold()
    statistics = feed(fold, *(events[i] for i in order))
    assert (statistics.virtual_queue, statistics.energy_joules, fold.open_joins) == (0.75, 4.0, 0)
    assert fold.take_dead() == []


def test_only_the_first_label_and_the_first_joules_count(fold):
    statistics = feed(
        fold,
        decision(),
        label(0.0),
        label(1.0),
        decision("q"),
        energy(3.0, "small", "q"),
        energy(9.0, "small", "q"),
    )
    assert (statistics.labelled, statistics.virtual_queue, statistics.energy_joules) == (1, 0.5, 3.0)
    assert fold.state.counters.repeats == 2


def test_entries_seen_before_are_skipped(fold):
    statistics = feed(fold, decision(), label(0.0))
    feed(fold, decision(), label(0.0))
    assert (statistics.served[0], statistics.labelled, fold.state.counters.events) == (1, 1, 2)


def test_an_exploration_teaches_once_when_all_labels_are_there(fold):
    feed(fold, decision(model="large", explored=True), label(0.0, "small"), label(1.0, "large"))
    assert fold.taught == []
    feed(fold, label(1.0, "medium"), label(0.0, "medium"), start=10)
    assert fold.taught == [("exploration", [1.0, 0.25], [0.0, 1.0, 1.0])]
    statistics = feed(fold, *(energy(float(i), m) for i, m in enumerate(MODELS, 1)), start=20)
    assert (statistics.explorations, statistics.energy_joules) == (1, 6.0)
    assert statistics.exploration_energy_joules == 3.0
    assert statistics.labelled == 1
    assert fold.open_joins == 0
    assert len(fold.taught) == 1


def test_an_exploration_teaches_what_came_when_its_time_is_over(fold):
    feed(fold, decision(explored=True), label(1.0, "medium"), decision("empty", explored=True))
    fold.apply(at(24 * HOUR, outcome("small", Role.SERVED, "other")))
    assert fold.taught == []
    fold.apply(at(25 * HOUR, outcome("small", Role.SERVED, "other")))
    assert fold.taught == [("exploration", [1.0, 0.25], [None, 1.0, None])]
    assert (fold.open_joins, fold.state.counters.expired_joins) == (0, 2)


def test_a_failed_exploration_is_not_waited_for(fold):
    feed(
        fold,
        decision(explored=True),
        outcome("medium", Role.FAILED),
        label(1.0, "small"),
        label(0.0, "large"),
    )
    assert fold.taught == [("exploration", [1.0, 0.25], [1.0, None, 0.0])]


def test_a_policy_that_learns_from_served_answers_hears_of_them():
    fold = LearningFold(learns_from_served=True)
    feed(fold, decision(model="medium"), energy(3.0, "medium"), label(0.5))
    assert fold.taught == [
        ("decision", [1.0, 0.25], 1, "standard", 0.0),
        ("energy", [1.0, 0.25], 1, 3.0),
        ("label", [1.0, 0.25], 1, 0.5),
    ]
    assert fold.state.heads_revision == 3


def test_what_a_served_label_taught_is_not_taught_again_by_the_exploration():
    fold = LearningFold(learns_from_served=True)
    feed(fold, decision(model="large", explored=True), *(label(1.0, model) for model in MODELS))
    assert [taught for taught in fold.taught if taught[0] != "decision"] == [
        ("label", [1.0, 0.25], 2, 1.0),
        ("exploration", [1.0, 0.25], [1.0, 1.0, None]),
    ]


def test_a_redecision_supersedes_the_served_model_and_its_charge(fold):
    statistics = feed(fold, decision(alpha=0.5), redecision("small", "large"), label(1.0))
    assert statistics.served == [0, 0, 1]
    assert statistics.ledger.label_credit == 0.25  # 1 minus the .75 that the redecision charged
    assert statistics.ledger.debt == -0.5
    feed(fold, energy(1.0, "small"), start=10)
    assert fold.state.energy[0].samples == 0  # a broken answer says nothing of what an answer costs
    feed(fold, energy(5.0, "large", generation="g-large-again"), start=20)
    assert (statistics.energy_joules, statistics.exploration_energy_joules) == (6.0, 0.0)
    assert fold.state.energy[2].samples == 1
    assert fold.open_joins == 0


def test_events_of_the_new_generation_may_precede_the_redecision(fold):
    statistics = feed(
        fold, decision(), label(0.0, "large-again"), energy(5.0, "large", generation="g-large-again")
    )
    assert (statistics.labelled, statistics.energy_joules) == (0, 0.0)
    feed(fold, redecision("small", "large"), start=10)
    assert (statistics.labelled, statistics.energy_joules, statistics.virtual_queue) == (1, 5.0, 0.5)


def test_a_verdict_that_precedes_the_redecision_is_on_the_answer_given(fold):
    statistics = feed(fold, decision(), label(0.0), redecision("small", "large"), label(1.0))
    assert (statistics.labelled, statistics.virtual_queue) == (1, 0.5)
    assert fold.state.counters.repeats == 1


def test_an_explored_answer_may_be_promoted(fold):
    promoted = dataclasses.replace(redecision("large", "small"), generation_id="g-small")
    statistics = feed(fold, decision(model="large", explored=True), label(0.0, "small"), promoted)
    assert (statistics.served, statistics.labelled, statistics.virtual_queue) == ([1, 0, 0], 1, 0.5)


def test_a_label_for_an_id_never_decided_expires_with_its_reason(fold):
    feed(fold, label(1.0, request_id="ghost"), decision())
    fold.apply(at(600_000, decision("later")))
    assert fold.take_dead() == []
    fold.apply(at(600_001, decision("latest")))
    (dead,) = fold.take_dead()
    assert (dead.position, dead.event) == (Position(1, 0), label(1.0, request_id="ghost"))
    assert dead.reason == "request 'ghost': no open request of this id within 600 s"
    assert (fold.open_joins, fold.state.counters.dead_events) == (3, 1)


def test_the_oldest_gives_way_at_the_cap():
    fold = LearningFold(max_open=2, max_early=1)
    feed(fold, label(1.0, request_id="x"), label(1.0, request_id="y"))
    assert [dead.event.request_id for dead in fold.take_dead()] == ["x"]
    statistics = feed(fold, *(decision(r) for r in "abc"), label(0.0, request_id="b"), start=10)
    assert (fold.open_joins, statistics.labelled) == (3, 1)
    feed(fold, label(0.0, request_id="a"), start=20)
    assert statistics.labelled == 1
    assert fold.state.counters.expired_joins == 3


def test_waiting_events_are_bounded():
    fold = LearningFold(max_waiting_events=2)
    feed(fold, *(label(1.0, f"unknown-{i}") for i in range(4)))
    assert ["wait already" in dead.reason for dead in fold.take_dead()] == [True, True]


def test_an_unmatched_generation_is_put_aside_when_its_request_closes(fold):
    feed(fold, decision(), label(1.0, "nobody"), label(1.0), energy(1.0, "small"))
    (dead,) = fold.take_dead()
    assert (dead.event.generation_id, dead.reason) == ("g-nobody", "request 'r' had no such generation")


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (label(nan), "satisfaction is nan"),
        (label(1.5), "satisfaction is 1.5"),
        (label(1.0, request_id=""), "request_id is empty"),
        (energy(-1.0, "small"), "energy_joules is -1.0"),
        (energy(inf, "small"), "energy_joules is inf"),
        (decision(model="huge"), "model_id 'huge'"),
        (decision(alpha=1.0), "min_satisfaction is 1.0"),
        (decision(alpha=nan), "min_satisfaction is nan"),
        (decision(charged=2.0), "charged_satisfaction is 2.0"),
        (decision(features=(1.0,)), "features have shape"),
        (decision(features=(1.0, nan)), "features are not all finite"),
        (decision(models=("small", "medium", "medium"), explored=True), "generation ids"),
        (dataclasses.replace(decision(), generation_id=""), "generation ids"),
        (dataclasses.replace(redecision("small", "large"), generation_id=""), "generation_id is empty"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_nonsense_is_put_aside_and_changes_nothing(fold, event, complaint):
    before = feed(fold, decision("before")).virtual_queue
    statistics = feed(fold, event, start=10)
    (dead,) = fold.take_dead()
    assert complaint in dead.reason
    assert (statistics.virtual_queue, statistics.served, fold.open_joins) == (before, [1, 0, 0], 1)


def test_a_second_decision_and_a_foreign_model_are_put_aside(fold):
    statistics = feed(fold, decision(), decision(model="large"), energy(1.0, "large", generation="g-small"))
    reasons = [dead.reason for dead in fold.take_dead()]
    assert reasons == ["request 'r' was decided before", "generation 'g-small' is not of model 'large'"]
    assert (statistics.served, statistics.energy_joules) == ([1, 0, 0], 0.0)


def test_the_label_rate_follows_how_many_are_labelled(fold):
    for i in range(2000):
        fold.apply(at(2 * i + 1, decision(f"r{i}", step=i + 1)))
        if i % 4 == 0:
            fold.apply(at(2 * i + 2, label(1.0, request_id=f"r{i}")))
    assert fold.state.sla_class("standard").ledger.label_rate == pytest.approx(0.25, abs=0.01)


def test_classes_are_kept_apart(fold):
    feed(fold, decision("a"), decision("b", sla_class="strict"), label(0.0, request_id="b"))
    assert fold.state.sla_class("standard").virtual_queue == 0.0
    assert fold.state.sla_class("strict").virtual_queue == 0.5


def test_a_model_without_any_figure_counts_as_the_mean_of_the_others():
    priors = [ModelPrior("small", None, 1.0), ModelPrior("medium", None, 3.0), ModelPrior("large")]
    policy = policy_from_config("messplus-2025", {}, MODELS)
    assert energy_means_joules(Fold(policy, priors, 2).state).tolist() == [1.0, 3.0, 2.0]
    unknown = Fold(policy, [ModelPrior(m) for m in MODELS], 2)
    assert energy_means_joules(unknown.state).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("source", "audited"), [("audit", True), ("client", False), ("auditor", False)])
def test_the_policy_learns_which_labels_were_audited(source, audited):
    policy = RecordingPolicy(True)
    fold = Fold(policy, PRIORS, 2)
    feed(fold, decision(), dataclasses.replace(label(1.0), source=source))
    assert policy.audited == [audited]
    assert (fold.state.sla_class("standard").ledger.audited_share > 0.0) == audited


def test_an_estimate_counts_for_the_class_and_teaches_nothing():
    fold = LearningFold(learns_from_served=True)
    estimate = dataclasses.replace(energy(3.0, "medium"), quality="ESTIMATED")
    statistics = feed(fold, decision(model="medium"), estimate)
    assert statistics.energy_joules == 3.0
    assert fold.state.energy[1].samples == 0
    assert "energy" not in [kind for kind, *_ in fold.taught]
