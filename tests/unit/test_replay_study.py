"""Studies: metrics by hand, the document's form, targets that nobody reaches."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.replay.driver import Trace
from planner.replay.labels import parse_labels
from planner.replay.metrics import measure, running_mean
from planner.replay.outcomes import Outcomes
from planner.replay.streams import Order
from planner.replay.study import (
    Question,
    Study,
    default_policies,
    default_targets,
    document,
    run_one,
    run_study,
)
from services.core.policies.registry import POLICY_NAMES
from tests.unit.replay_data import MODELS, features, outcomes

RUN_KEYS = {
    "policy",
    "min_satisfaction",
    "order",
    "labels",
    "seed",
    "energy_joules_per_request",
    "satisfaction",
    "exploration_energy_share",
    "first_compliant_request",
    "worst_shortfall_after_1000",
    "model_shares",
    "seconds_per_thousand_requests",
}


def question(**changes: Any) -> Question:
    asked = Question(("messplus-2025", "static-mixture"), (0.5, 0.6), Order.RANDOM, parse_labels("full"), 2)
    return replace(asked, **changes)


def study(data: Outcomes | None = None, **changes: Any) -> Study:
    data = data or outcomes(120)
    return run_study(data, features(data), question(**changes))


def trace(satisfaction: list[float]) -> Trace:
    made = Trace.empty(len(satisfaction))
    made.satisfaction[:] = satisfaction
    made.energy_joules[:] = 2.0
    made.explored_joules[0] = 1.0
    made.models[-1] = 1
    return made


@pytest.mark.parametrize(
    ("labels", "first"),
    [([1, 1, 1, 1], 1), ([0, 1, 1, 1], 2), ([1, 0, 0, 1], 4), ([1, 1, 1, 0, 0, 0, 0], None), ([0, 1], 2)],
)
def test_first_compliant_request_is_where_the_running_mean_stays(
    labels: list[float], first: int | None
) -> None:
    assert measure(trace(labels), 2, 0.5).first_compliant_request == first


def test_metrics_of_a_short_and_a_long_stream() -> None:
    short = measure(trace([1.0, 0.0, 0.0, 0.0]), 2, 0.5)
    assert short.worst_shortfall_after_1000 is None
    assert short.energy_joules_per_request == 2.0
    assert short.exploration_energy_share == 1.0 / 8.0
    assert short.model_shares == (0.75, 0.25)
    long = measure(trace([0.0] * 1000 + [1.0] * 1000), 2, 0.5)
    assert long.worst_shortfall_after_1000 == pytest.approx(0.5 - 1.0 / 1001.0)
    assert long.first_compliant_request == 2000
    assert measure(trace([1.0] * 1200), 2, 0.5).worst_shortfall_after_1000 == 0.0


def test_running_mean() -> None:
    assert running_mean(np.array([1.0, 0.0, 1.0])).tolist() == pytest.approx([1.0, 0.5, 2.0 / 3.0])


def test_the_document_has_the_promised_form_and_survives_json() -> None:
    found = json.loads(json.dumps(document(study()), allow_nan=False))
    assert found["dataset"] == "test"
    assert found["requests"] == 120
    assert found["models"].keys() == set(MODELS)
    assert found["models"]["large"].keys() == {"satisfaction", "energy_joules"}
    assert len(found["runs"]) == 2 * 2 * 2
    assert all(run.keys() == RUN_KEYS for run in found["runs"])
    first = found["runs"][0]
    assert (first["policy"], first["min_satisfaction"], first["seed"]) == ("messplus-2025", 0.5, 0)
    assert (first["order"], first["labels"]) == ("random", "full")
    assert sum(first["model_shares"].values()) == pytest.approx(1.0)
    assert found["baselines"].keys() == {
        "static-mixture",
        "domain-mixture",
        "clairvoyant",
        "random-with-constraint",
        "cheapest-single",
        *(f"single:{model}" for model in MODELS),
    }
    assert all(by_target.keys() == {"0.5", "0.6"} for by_target in found["baselines"].values())


def test_a_row_is_reproduced_from_its_seed_alone() -> None:
    data = outcomes(120)
    whole = study(data, labels=parse_labels("partial:0.5"), order=Order.DRIFT)
    row = whole.runs[3]
    alone = run_one(data, features(data), whole.question, row.policy, row.min_satisfaction, row.seed)
    assert alone.metrics == row.metrics


def test_a_target_that_nobody_reaches_is_said_with_the_shortfall() -> None:
    found = study(targets=(0.5, 0.97))
    assert len(found.notes) == 1
    best = outcomes(120).satisfaction.mean(axis=0).max()
    assert found.notes[0].startswith(f"No model reaches 0.97: the best, large, has {best:.4f}")
    assert "messplus-2025" in found.notes[0]
    assert found.baselines["static-mixture"][0.97].satisfaction == pytest.approx(best)
    assert document(found)["notes"] == list(found.notes)


def test_under_drift_baselines_know_the_drift() -> None:
    plain, drifted = study(), study(order=Order.DRIFT)
    dearer = (
        drifted.baselines["single:large"][0.5].energy_joules
        / plain.baselines["single:large"][0.5].energy_joules
    )
    assert dearer == pytest.approx(1.25, abs=0.05)
    worse = (
        drifted.baselines["single:small"][0.5].satisfaction
        / plain.baselines["single:small"][0.5].satisfaction
    )
    assert worse == pytest.approx(0.85, abs=0.06)


def test_default_targets_divide_the_range_between_cheapest_and_best() -> None:
    data = outcomes(1000)
    low, _, high = data.satisfaction.mean(axis=0)
    expected = [low + share * (high - low) for share in (0.25, 0.5, 0.75)]
    assert default_targets(data) == pytest.approx(expected, abs=0.0006)
    one = replace(
        data, model_ids=("x",), satisfaction=data.satisfaction[:, :1], energy_joules=data.energy_joules[:, :1]
    )
    assert default_targets(one) == pytest.approx([low], abs=0.0006)


def test_all_policies_by_default_singles_being_baselines() -> None:
    assert set(default_policies()) == {name for name in POLICY_NAMES if not name.startswith("single")}
    assert "pacer" in default_policies()


def test_parameters_reach_their_policy() -> None:
    calm = study(policies=("messplus-2025",), parameters={"messplus-2025": {"exploration_scale": 0.0}})
    assert all(run.metrics.exploration_energy_share == 0.0 for run in calm.runs)
    with pytest.raises(ValueError, match="allowed"):
        study(policies=("nonsense",))
