"""One run: the production fold and policies, every joule counted, repeatable by its seed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from planner.replay.driver import ONE_CLASS, Driver, Run, RunSettings
from planner.replay.labels import draw_judging, parse_labels
from planner.replay.metrics import measure
from planner.replay.priors import PriorKind, hindsight_priors, make_priors
from planner.replay.sources.event_log import read_entries, write_event_log
from planner.replay.streams import Order, make_stream
from services.core.events import Decision, Entry
from services.core.exploration import DecisionRandom
from services.core.fold import Fold
from services.core.learner_state import energy_means_joules
from services.core.policies.base import Context
from services.core.policies.registry import policy_from_config
from tests.unit.replay_data import features, outcomes

ALPHA = 0.55


def play(
    policy: str = "messplus-2025",
    parameters: dict[str, object] | None = None,
    *,
    count: int = 200,
    seed: int = 0,
    labels: str = "full",
    order: Order = Order.RANDOM,
    **options: Any,
) -> Run:
    data = outcomes(count)
    stream = make_stream(data, order, seed)
    kind = PriorKind.ROUGH
    priors = hindsight_priors(data, stream) if policy == "static-mixture" else make_priors(data, kind, seed)
    judging = draw_judging(parse_labels(labels), count, seed)
    chosen = policy_from_config(policy, parameters or {}, data.model_ids)
    settings = RunSettings(ALPHA, f"test/{seed}", **options)
    return Driver(data, features(data), stream, judging, chosen, priors, settings).run()


POLICIES = ("pacer", "messplus-2024", "messplus-2025", "static-mixture", "single:medium")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("labels", ["full", "partial:0.3", "delayed:20", "biased:3+audit:0.1"])
def test_a_run_repeats_bit_for_bit_and_differs_by_seed(policy: str, labels: str) -> None:
    first, again, other = (play(policy, labels=labels, seed=seed) for seed in (1, 1, 2))
    for name in ("models", "energy_joules", "virtual_queue", "ledger", "predicted_satisfaction", "labelled"):
        np.testing.assert_array_equal(getattr(first.trace, name), getattr(again.trace, name))
    assert first.fold.state.classes == again.fold.state.classes
    assert first.trace.energy_joules.tolist() != other.trace.energy_joules.tolist()


@pytest.mark.parametrize("policy", POLICIES)
def test_the_fold_counts_what_the_trace_counts_and_loses_no_event(policy: str) -> None:
    run = play(policy)
    statistics, counters = run.fold.state.classes[ONE_CLASS], run.fold.state.counters
    assert statistics.energy_joules == pytest.approx(run.trace.energy_joules.sum())
    assert statistics.exploration_energy_joules == pytest.approx(run.trace.explored_joules.sum())
    assert statistics.mean_satisfaction == pytest.approx(run.trace.satisfaction.mean())
    assert statistics.steps == statistics.labelled == 200
    assert statistics.served == np.bincount(run.trace.models, minlength=3).tolist()
    assert (counters.dead_events, counters.repeats, counters.expired_joins, run.fold.open_joins) == (
        0,
        0,
        0,
        0,
    )


@pytest.mark.parametrize("mode", ["messplus-2024", "messplus-2025"])
def test_exploration_pays_for_every_model(mode: str) -> None:
    data = outcomes(100)
    stream = make_stream(data, Order.RANDOM, 0)
    run = play(mode, {"exploration_scale": 1e6}, count=100)
    np.testing.assert_allclose(run.trace.energy_joules, stream.energy_joules.sum(axis=1))
    served = stream.energy_joules[np.arange(100), run.trace.models]
    np.testing.assert_allclose(run.trace.explored_joules, run.trace.energy_joules - served)
    metrics = measure(run.trace, 3, ALPHA)
    assert metrics.energy_joules_per_request == pytest.approx(stream.energy_joules.sum(axis=1).mean())
    assert metrics.exploration_energy_share == pytest.approx(1.0 - served.sum() / stream.energy_joules.sum())


def test_messplus_2024_serves_the_best_answer_where_labels_come_at_once_and_only_there() -> None:
    stream = make_stream(outcomes(100), Order.RANDOM, 0)
    always = {"exploration_scale": 1e6}
    known = play("messplus-2024", always, count=100)
    np.testing.assert_array_equal(known.trace.satisfaction, stream.satisfaction.max(axis=1))
    later = play("messplus-2024", always, count=100, labels="delayed:1")
    assert (later.trace.models == 2).all()


def test_a_single_model_serves_everything_and_the_mixture_comes_to_its_target() -> None:
    alone = play("single:medium")
    assert (alone.trace.models == 1).all()
    mixed = play("static-mixture", count=3000)
    assert mixed.trace.satisfaction.mean() == pytest.approx(ALPHA, abs=0.03)


def test_late_labels_come_late() -> None:
    """With a delay of d, the first decision that can know a label is number d + 1, counted from 0."""
    fast, slow = (play("messplus-2025", labels=f"delayed:{delay}") for delay in (0, 30))
    assert fast.trace.virtual_queue[:31].any()
    assert not slow.trace.virtual_queue[:31].any()
    assert slow.trace.virtual_queue[31:].any()
    assert slow.fold.state.classes[ONE_CLASS].labelled == 200, "the last ones come after the stream"


def test_sparse_labels_leave_satisfaction_as_it_was() -> None:
    run = play("single:large", labels="partial:0.25", count=2000)
    assert run.trace.labelled.mean() == pytest.approx(0.25, abs=0.03)
    assert run.fold.state.classes[ONE_CLASS].labelled == run.trace.labelled.sum()
    assert run.trace.satisfaction.mean() == outcomes(2000).satisfaction[:, 2].mean()


def test_biased_labels_make_the_judged_look_worse_than_all() -> None:
    run = play("single:medium", labels="biased:3", count=3000)
    judged = run.trace.satisfaction[run.trace.labelled].mean()
    assert judged < run.trace.satisfaction.mean() - 0.1


def test_one_class_per_benchmark_has_its_own_steps_and_queue() -> None:
    run = play("messplus-2025", class_per_benchmark=True)
    assert sorted(run.fold.state.classes) == ["easy", "hard"]
    assert [run.fold.state.classes[name].steps for name in ("easy", "hard")] == [100, 100]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_router_with_old_snapshots_decides_as_the_priors_say_until_the_first(policy: str) -> None:
    fresh, stale = play(policy), play(policy, snapshot_every=50)
    frozen = play(policy, snapshot_every=10_000)
    np.testing.assert_array_equal(stale.trace.models[:50], frozen.trace.models[:50])
    assert not frozen.trace.virtual_queue.any()
    assert fresh.trace.models[0] == stale.trace.models[0]
    assert (stale.fold.state.counters.dead_events, stale.fold.open_joins) == (0, 0)


@pytest.mark.parametrize("policy", ["static-mixture", "single:medium"])
def test_old_snapshots_do_not_matter_to_who_learns_nothing(policy: str) -> None:
    np.testing.assert_array_equal(play(policy).trace.models, play(policy, snapshot_every=7).trace.models)


def test_scaling_all_joules_changes_no_decision_of_pacer() -> None:
    data = outcomes(150)
    stream = make_stream(data, Order.RANDOM, 0)
    served = []
    for scale in (1e-3, 1.0, 1e3):
        scaled = type(stream)(stream.indices, stream.satisfaction, stream.energy_joules * scale)
        priors = make_priors(data, PriorKind.NONE, 0)
        policy = policy_from_config("pacer", {}, data.model_ids)
        judging = draw_judging(parse_labels("full"), 150, 0)
        driver = Driver(data, features(data), scaled, judging, policy, priors, RunSettings(ALPHA, "t"))
        served.append(driver.run().trace.models.tolist())
    assert served[0] == served[1] == served[2]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("labels", ["full", "delayed:20"])
def test_decisions_follow_from_the_log_alone(
    policy: str, labels: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A log that went to a file and back, folded anew, gives every decision that is in it."""
    log: list[Entry] = []
    apply = Fold.apply

    def recorded(fold: Fold, entry: Entry) -> None:
        log.append(entry)
        apply(fold, entry)

    with monkeypatch.context() as patched:
        patched.setattr(Fold, "apply", recorded)
        play(policy, labels=labels)
    write_event_log(tmp_path / "events.jsonl", log)
    data = outcomes(200)
    stream = make_stream(data, Order.RANDOM, 0)
    mixture = policy == "static-mixture"
    priors = hindsight_priors(data, stream) if mixture else make_priors(data, PriorKind.ROUGH, 0)
    chosen = policy_from_config(policy, {}, data.model_ids)
    fold, decisions = Fold(chosen, priors, 2), 0
    for entry in read_entries(tmp_path / "events.jsonl"):
        event = entry.event
        if isinstance(event, Decision):
            state = fold.state
            view = state.sla_class(event.sla_class).view(
                event.sla_class, event.min_satisfaction, event.step_seen, event.decision_debt
            )
            known = stream.satisfaction[decisions] if labels == "full" else None
            context = Context(
                event.features, energy_means_joules(state), np.array(event.eligible), view, known
            )
            action = chosen.decide(context, state.policy_state, DecisionRandom(event.seed))
            assert (data.model_ids[action.model_index], action.explored) == (event.model_id, event.explored)
            decisions += 1
        fold.apply(entry)
    assert decisions == 200
