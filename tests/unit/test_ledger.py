"""The SLA ledger against plain sums, whatever labels do."""

import json

import pytest
from fold_events import at, decision, label, redecision
from hypothesis import given
from hypothesis import strategies as st

from services.core.fold import Fold
from services.core.ledger import Ledger
from services.core.policies.base import ModelPrior
from services.core.policies.registry import policy_from_config

units = st.floats(0, 1)
requests = st.lists(st.tuples(units, units, st.integers(0, 300)), min_size=1, max_size=80)


def played(requests, alpha, delays=True):
    """All requests decided, each label after its delay in decisions."""
    ledger, waiting = Ledger(), {}
    for t, (charged, satisfaction, delay) in enumerate(requests):
        number = ledger.decide(ledger.decision_debt, alpha - charged)
        waiting.setdefault(t + (delay if delays else 0), []).append((number, charged, satisfaction))
        for due in waiting.pop(t, []):
            ledger.credit(*due)
    for t in sorted(waiting):
        for due in waiting[t]:
            ledger.credit(*due)
    return ledger


@given(requests, st.floats(0.01, 0.99))
def test_labels_at_once_leave_exactly_what_was_promised_and_not_given(requests, alpha):
    ledger = played(requests, alpha, delays=False)
    assert ledger.label_rate == 1.0
    assert ledger.debt == pytest.approx(sum(alpha - y for _, y, _ in requests), abs=1e-9)


@given(st.lists(st.tuples(units, units), min_size=1, max_size=400), st.integers(0, 300))
def test_equally_late_labels_end_at_the_same_debt(requests, delay):
    ledger = played([(p, y, delay) for p, y in requests], 0.5)
    assert ledger.debt == pytest.approx(sum(0.5 - y for _, y in requests), abs=1e-9)


@given(requests)
def test_a_decision_without_label_is_charged_by_its_prediction(requests):
    ledger = Ledger()
    for charged, _, _ in requests:
        ledger.decide(0.0, 0.5 - charged)
    assert ledger.label_rate == 1.0
    assert ledger.debt == pytest.approx(sum(0.5 - charged for charged, _, _ in requests), abs=1e-9)


def test_rare_labels_are_weighted_by_how_rare_they_are():
    ledger, owed = Ledger(), 0.0
    for t in range(5000):
        number = ledger.decide(0.0, 0.6 - 0.8)
        if t % 5 == 0:
            ledger.credit(number, 0.8, 0.5)
        owed += 0.6 - 0.5
    assert ledger.label_rate == pytest.approx(0.2, abs=0.01)
    assert ledger.debt == pytest.approx(owed, rel=0.05)


def test_late_labels_do_not_count_as_missing_before_they_are_due():
    ledger = Ledger()
    for t in range(1200):
        ledger.decide(0.0, 0.0)
        if t >= 200:
            ledger.credit(t - 199, 0.5, 0.5)
            assert ledger.label_rate == 1.0


def test_labels_later_than_any_record_still_tell_their_rate():
    ledger = Ledger()
    for t in range(20_000):
        ledger.decide(0.0, 0.0)
        if t >= 5000 and t % 2 == 0:
            ledger.credit(t - 4999, 0.5, 0.5)
    assert ledger.label_rate == pytest.approx(0.5, abs=0.1)


@given(st.floats(-1e3, 1e3), st.floats(-50, 0), st.floats(0, 50))
def test_what_is_forgiven_stays_forgiven(debt, low, high):
    ledger = Ledger(decision_debt=debt)
    moved = ledger.clip(low, high)
    assert low - 1e-9 <= ledger.debt <= high + 1e-9
    assert debt + moved == pytest.approx(ledger.debt, abs=1e-9)
    assert ledger.clip(low - 1e-6, high + 1e-6) == 0.0


def test_a_ledger_begun_in_the_middle_of_a_log_owes_nothing_for_before():
    ledger = Ledger()
    ledger.decide(37.5, 0.25)
    assert (ledger.decision_debt, ledger.debt) == (37.75, 0.25)


@given(requests)
def test_the_document_gives_the_same_ledger_back(requests):
    ledger = played(requests, 0.5)
    assert Ledger.from_document(json.loads(json.dumps(ledger.document()))) == ledger


@pytest.mark.parametrize(
    "damage",
    [
        {"decision_debt": float("inf")},
        {"decision_debt": "1"},
        {"decisions": -1},
        {"labels": 1.5},
        {"label_lag": -1.0},
        {"labelled_bits": "xyz"},
        {"labelled_bits": "f" * 5000},
    ],
)
def test_a_damaged_document_is_refused(damage):
    with pytest.raises(ValueError, match=r"ledger|invalid literal"):
        Ledger.from_document({**Ledger().document(), **damage})


def fold_of_events(events):
    models = ("small", "medium", "large")
    fold = Fold(policy_from_config("pacer", {}, models), [ModelPrior(m, 0.5, 2.0) for m in models], 2)
    for number, event in enumerate(events, 1):
        fold.apply(at(number, event))
    return fold.state.sla_class("standard").ledger


verdicts = st.lists(st.tuples(st.integers(0, 5), units), max_size=25)


@given(verdicts)
def test_repeated_and_contradictory_labels_count_once_the_first(verdicts):
    # So low an alpha that even six bad answers stay below the debt at which `pacer` forgives.
    decisions = [decision(f"r{i}", alpha=0.45, charged=0.5) for i in range(6)]
    labels = [label(y, request_id=f"r{i}") for i, y in verdicts]
    first = {}
    for i, y in verdicts:
        first.setdefault(i, y)
    ledger = fold_of_events([*decisions, *labels])
    expected = 6 * -0.05 - sum(y - 0.5 for y in first.values())
    assert ledger.debt == pytest.approx(expected, abs=1e-9)
    early = fold_of_events([*labels[:20], *decisions, *labels[20:]])
    assert early.debt == pytest.approx(expected, abs=1e-9)


def test_a_redecision_settles_at_the_new_charge_whenever_its_label_comes():
    made, changed, said = decision(alpha=0.5, charged=0.5), redecision("small", "large"), label(1.0)
    for events in ([made, changed, said], [made, said, changed], [said, made, changed]):
        assert fold_of_events(events).debt == -0.5
