"""A run as its log tells it: joins by ids, first labels, nothing counted that nobody decided on."""

from dataclasses import replace

import numpy as np
import pytest

from cli.demo.run_log import RunLog
from services.core.events import (
    Decision,
    EnergyAttributed,
    Entry,
    Event,
    Label,
    ModelGeneration,
    Outcome,
    Position,
    Redecision,
    Role,
)

DECISION = Decision(
    request_id="r1",
    sla_class="standard",
    step=1,
    min_satisfaction=0.7,
    snapshot_version=0,
    virtual_queue=1.5,
    decision_debt=0.0,
    step_seen=1,
    seed=1,
    features=np.zeros(1),
    model_ids=("small", "large"),
    satisfaction_means=(0.5, 0.9),
    satisfaction_variances=(),
    energy_joules=(1.0, 5.0),
    eligible=(True, True),
    model_id="large",
    generation_id="g1",
    explored=True,
    charged_satisfaction=0.9,
    policy="messplus-2025",
    explored_generations=(ModelGeneration("small", "g2"),),
)


def outcome(generation_id: str, role: Role = Role.SERVED) -> Outcome:
    return Outcome("r1", generation_id, "large", role, 10, 0, 5, 0.1, 0.5, "stop")


def log_of(*events: Event) -> RunLog:
    log = RunLog()
    for number, event in enumerate(events):
        log.add(Entry(Position(1000 + 500 * number, 0), event))
    return log


def test_a_complete_request_is_told_once_with_all_its_joules() -> None:
    log = log_of(
        DECISION,
        EnergyAttributed("r1", "g2", "small", 1.25),
        outcome("g1"),
        Label("r1", "g2", 0.0, "reference"),
        EnergyAttributed("r1", "g1", "large", 4.0),
        Label("r1", "", 1.0, "reference"),
        Label("r1", "g1", 0.0, "client"),
    )
    assert log.gaps() == {}
    (request,) = log.routed({"r1": "arithmetic"})
    assert (request.satisfaction, request.served_joules, request.explored_joules) == (1.0, 4.0, 1.25)
    assert (request.model_id, request.virtual_queue, request.time_seconds) == ("large", 1.5, 1.0)
    assert log.joules == 5.25
    assert log.shares() == {"large": 1.0}


def test_missing_events_are_counted_by_kind() -> None:
    log = log_of(DECISION, replace(DECISION, request_id="r2"), outcome("g1"))
    assert log.gaps() == {"outcome": 1, "label": 2, "energy": 2}
    with pytest.raises(ValueError, match="missing"):
        log.routed({})


def test_a_redecision_changes_who_is_served_and_what_is_awaited() -> None:
    takeover = Redecision("r1", "standard", "large", "g1", "small", "g3", 0.5, 0.9, "UNAVAILABLE")
    log = log_of(
        DECISION,
        outcome("g1", Role.FAILED),
        takeover,
        outcome("g3"),
        Label("r1", "", 1.0, "reference"),
        EnergyAttributed("r1", "g2", "small", 1.0),
        EnergyAttributed("r1", "g3", "small", 2.0),
    )
    (request,) = log.routed({"r1": "arithmetic"})
    assert (request.model_id, request.served_joules, request.explored_joules) == ("small", 2.0, 1.0)


def test_joules_of_calls_outside_the_run_stay_apart() -> None:
    log = log_of(DECISION, EnergyAttributed("baseline-small-0", "baseline-small-0-0", "small", 9.0))
    assert log.joules == 0.0
    assert log.other_joules() == {"baseline-small-0-0": 9.0}


def test_joules_that_come_before_the_decision_are_kept() -> None:
    log = log_of(EnergyAttributed("r1", "g1", "large", 4.0), DECISION)
    assert log.joules == 4.0
    assert log.other_joules() == {}


def test_generations_are_told_with_their_times_and_figures() -> None:
    log = log_of(
        DECISION,
        EnergyAttributed("r1", "g2", "small", 1.25, method="nvml"),
        outcome("g1"),
        EnergyAttributed("r1", "g1", "large", 4.0),
        outcome("g2", Role.EXPLORED),
        EnergyAttributed("r1", "g9", "large", 7.0),
    )
    assert log.began_seconds == 1.0
    served, explored = log.spent({"r1": "arithmetic"})
    assert (served.kind, served.began_seconds, served.ended_seconds) == ("arithmetic", 0.5, 1.0)
    assert (explored.began_seconds, explored.ended_seconds) == (1.5, 2.0)
    assert (served.figure.energy_joules, served.power_watts) == (4.0, 8.0)
    assert (explored.figure.generation_id, explored.figure.method) == ("g2", "nvml")
