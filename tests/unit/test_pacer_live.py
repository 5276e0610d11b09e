"""`pacer` through the fold: snapshots that routers get, and live decisions that replay gives again."""

import numpy as np
import pytest
from fold_events import MODELS, at, decision, energy, label
from pacer_world import FEATURES, priors, requests

from services.core.exploration import DecisionRandom, decision_seed
from services.core.fold import Fold
from services.core.learner_codec import CONTROL, HEADS, MEMORY
from services.core.policies.base import Context
from services.core.policies.registry import policy_from_config
from services.core.snapshot import decode_snapshot, prior_snapshot

POLICY = policy_from_config("pacer", {}, MODELS)
ALPHA = 0.6


def snapshot_of(fold, version):
    parts = fold.checkpoint_delta().parts_changed
    return decode_snapshot(
        version, {name: parts[name] for name in (CONTROL, HEADS)}, POLICY, priors(), FEATURES
    )


def decided(snapshot, request_id, features, step, debt, load_factors=()):
    """What a router does: context, action and event."""
    sla = snapshot.view("standard", ALPHA, step, debt)
    seed = decision_seed("zoo", request_id)
    loads = np.array(load_factors) if load_factors else None
    context = Context(features, snapshot.energy_joules, np.ones(3, bool), sla, load_factors=loads)
    return POLICY.decide(context, snapshot.policy_state, DecisionRandom(seed))


def live_log(count, refresh_every, loads=((),)):
    """Decisions of a router whose snapshot is refreshed now and then, with labels and joules behind them.

    `loads`: load factors per model, taken in turns.
    """
    fold, version, debt, log, choices = Fold(POLICY, priors(), FEATURES), 0, 0.0, [], []
    snapshot = prior_snapshot(POLICY, priors(), FEATURES, 10.0)
    features, satisfied, joules = requests(11, count)
    for t in range(count):
        if t % refresh_every == refresh_every - 1:
            version += 1
            snapshot = snapshot_of(fold, version)
        factors = loads[t % len(loads)]
        action = decided(snapshot, f"r{t}", features[t], t + 1, debt, factors)
        m = action.model_index
        charged = float(action.satisfaction_means[m])
        made = decision(
            f"r{t}",
            MODELS[m],
            alpha=ALPHA,
            features=tuple(features[t]),
            step=t + 1,
            charged=charged,
            load_factors=factors,
        )
        object.__setattr__(made, "decision_debt", debt)
        debt += ALPHA - charged
        events = (
            made,
            energy(joules[t, m] * (factors[m] if factors else 1.0), MODELS[m], f"r{t}"),
            label(satisfied[t, m], request_id=f"r{t}"),
        )
        for event in events:
            log.append(at(len(log) + 1, event))
            fold.apply(log[-1])
        choices.append((version, len(log) - len(events), m, action.scores.tolist()))
    return fold, log, choices


@pytest.mark.parametrize("loads", [((),), ((), (0.25, 1.0, 0.5), (1.0, 1.0, 0.125))])
@pytest.mark.parametrize("refresh_every", [1, 7])
def test_snapshots_rebuilt_from_the_log_give_the_live_decisions(refresh_every, loads):
    _, log, choices = live_log(120, refresh_every, loads)
    again, applied, version = Fold(POLICY, priors(), FEATURES), 0, 0
    snapshot = prior_snapshot(POLICY, priors(), FEATURES, 10.0)
    for t, (live_version, before, m, scores) in enumerate(choices):
        while applied < before:
            again.apply(log[applied])
            applied += 1
        if live_version != version:
            version = live_version
            snapshot = snapshot_of(again, version)
        event = log[before].event
        action = decided(
            snapshot, f"r{t}", event.features, event.step_seen, event.decision_debt, event.load_factors
        )
        assert (action.model_index, action.scores.tolist()) == (m, scores)


def test_a_router_reads_little_and_owes_what_the_learner_says():
    fold, _, _ = live_log(60, 5)
    ledger = fold.state.sla_class("standard").ledger
    parts = fold.checkpoint_delta().parts_changed
    snapshot = decode_snapshot(1, {n: parts[n] for n in (CONTROL, HEADS)}, POLICY, priors(), FEATURES)
    view = snapshot.view("standard", ALPHA, 61, ledger.decision_debt + 2.5)
    assert view.debt == pytest.approx(ledger.debt + 2.5)
    assert (view.labelled, view.label_rate) == (60, 1.0)
    assert len(parts[HEADS]) < len(parts[MEMORY]) / 3


def test_a_restart_goes_on_from_the_memory_bit_for_bit():
    _, log, _ = live_log(40, 5)
    whole, first, second = (Fold(POLICY, priors(), FEATURES) for _ in range(3))
    for entry in log:
        whole.apply(entry)
    for entry in log[:61]:
        first.apply(entry)
    delta = first.checkpoint_delta()
    second.restore(delta.parts_changed, delta.joins_set)
    for entry in log[61:]:
        second.apply(entry)
    assert second.checkpoint_delta().parts_changed == whole.checkpoint_delta().parts_changed


def test_labels_and_joules_of_served_answers_move_the_predictions():
    fold, _, _ = live_log(200, 10)
    before, after = prior_snapshot(POLICY, priors(), FEATURES, 10.0), snapshot_of(fold, 1)
    x = np.concatenate([[1.0, 2.0], np.zeros(FEATURES - 2)])
    old, new = (decided(s, "q", x, 1, 0.0) for s in (before, after))
    assert (new.satisfaction_means < old.satisfaction_means - 0.1).all(), "a hard request is hard for all"
    assert (new.satisfaction_variances < old.satisfaction_variances).all()
