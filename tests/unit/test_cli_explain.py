"""What `messplus explain` says, from the answer that a router gives for a logged decision."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from messplus.router.v1 import router_service_pb2
from rich.console import Console

from cli.explain.view import explanation_view
from services.common.learning import feature_count_of, policy_of, priors_of
from services.core.events import Decision, Outcome, Redecision, Role
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.fleet import Fleet
from services.router.instruments import Instruments
from services.router.snapshots import Snapshots
from services.router.translation import explanation_to_proto
from services.router.views import Views
from tests.unit.fold_events import decision, outcome, redecision
from tests.unit.router_fakes import FakeLog, FakeWorker, states_of, zoo_of

MODELS = ("small", "large")
DECIDED = replace(
    decision(model="small", models=MODELS, alpha=0.7, step=41),
    policy="pacer",
    snapshot_version=12,
    decision_debt=3.5,
    debt=1.25,
    dual_joules=8.0,
    satisfaction_means=(0.625, 0.875),
    satisfaction_variances=(0.0064, 0.0001),
    energy_joules=(1.5, 6.0),
    scores=(-3.5, -1.0),
)
PUBLISHED = replace(
    DECIDED,
    policy="messplus-2025",
    dual_joules=0.0,
    debt=0.0,
    scores=(),
    satisfaction_variances=(),
    virtual_queue=1.0,
)


class LogOf(FakeLog):
    """Holds one decision, and what failed."""

    def __init__(self, event: Decision, failures: Sequence[Redecision | Outcome] = ()) -> None:
        super().__init__()
        self._event, self._failures = event, list(failures)

    async def failures(self, request_id: str) -> list[Redecision | Outcome]:
        return self._failures

    async def decision(self, request_id: str) -> Decision | None:
        return self._event if request_id == self._event.request_id else None


async def answered(
    event: Decision, failures: Sequence[Redecision | Outcome] = (), **policy: Any
) -> router_service_pb2.ExplainDecisionResponse:
    """What a router with this policy answers."""
    zoo = zoo_of(MODELS, policy=policy or {"name": "pacer"})
    log, classes, instruments = LogOf(event, failures), ClassStates(("standard",)), Instruments()
    snapshots = Snapshots(policy_of(zoo), priors_of(zoo), feature_count_of(zoo), 5.0, instruments)
    fleet = Fleet(zoo, states_of(zoo, [FakeWorker(), FakeWorker()]))
    commits = Commits(log, classes, instruments, 10)
    views = Views(zoo, policy_of(zoo), fleet, snapshots, classes, commits, log)
    return explanation_to_proto(await views.explain(event.request_id))


def shown(reply: router_service_pb2.ExplainDecisionResponse, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(explanation_view(reply))
    return captured.get()


def row(text: str, model: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [model])


async def test_a_decision_of_pacer_is_shown_with_all_that_it_went_by() -> None:
    text = shown(await answered(DECIDED))
    assert "Request r: small for SLA class standard, alpha = 0.7, step 41" in text
    assert "Policy pacer, snapshot 12" in text
    assert "lambda = 8 J per unit of satisfaction" in text
    assert "Debt D = 1.25 satisfied requests owed (3.5 by predictions, -2.25 by labels)" in text
    assert row(text, "small") == ["small", "0.625", "±", "0.080", "1.5", "-3.5", "yes", "yes"]
    assert row(text, "large") == ["large", "0.875", "±", "0.010", "6", "-1", "yes"]
    assert "= -3.5 J of the eligible models, 2.5 J less than large's" in text


async def test_what_load_did_to_the_joules_is_said() -> None:
    text = shown(await answered(replace(DECIDED, load_factors=(1.0, 0.4375))), width=1000)
    assert "an idle worker would take more: large's are 0.438 of it" in text
    assert "idle worker" not in shown(await answered(DECIDED), width=1000)


async def test_a_decision_of_a_published_policy_shows_its_weight_and_queue() -> None:
    text = shown(await answered(PUBLISHED, name="messplus-2025", parameters={"energy_weight": 0.1}))
    assert "V = 0.1 1/J, queue Q = 1" in text
    assert "lambda" not in text
    # V * E + Q * (alpha - A): .1 * 1.5 + (.7 - .625), .1 * 6 + (.7 - .875)
    assert row(text, "small") == ["small", "0.625", "1.5", "0.225", "yes", "yes"]
    assert row(text, "large") == ["large", "0.875", "6", "0.425", "yes"]
    assert "0.2 less than large's" in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eligible": (True, False)}, "no other model was eligible"),
        ({"explored": True, "model_id": "large"}, "every eligible model answers"),
        ({"policy": "fallback", "snapshot_version": 0}, "nothing was learned yet"),
        ({"policy": "single:small"}, "its target is 0.7"),
    ],
)
async def test_what_decided_is_said_in_words(changes: dict[str, Any], reason: str) -> None:
    text = shown(await answered(replace(PUBLISHED, **changes), name="messplus-2025"))
    assert reason in text
    assert ("no" in row(text, "large")) == ("eligible" in changes)


async def test_a_policy_without_scores_shows_none() -> None:
    text = shown(await answered(replace(PUBLISHED, policy="single:small")))
    assert "score" not in text
    assert row(text, "small") == ["small", "0.625", "1.5", "yes", "yes"]


async def test_brackets_of_a_model_are_no_markup() -> None:
    event = replace(DECIDED, model_ids=("[red]", "large"), model_id="[red]")
    assert row(shown(await answered(event)), "[red]")


async def test_what_failed_is_said_once_each_with_who_took_over() -> None:
    taken_over = redecision("small", "large")
    first = replace(
        outcome("small", Role.FAILED, taken_over.request_id),
        generation_id=taken_over.failed_generation_id,
        completion_tokens=0,
        error=taken_over.reason,
    )
    second = replace(outcome("large", Role.FAILED, first.request_id), completion_tokens=7, error="[cut] off")
    reply = await answered(DECIDED, [first, taken_over, second])
    assert [(f.model_id, f.completion_tokens, f.next_model_id) for f in reply.failures] == [
        ("small", 0, "large"),
        ("large", 7, ""),
    ]
    text = shown(reply, width=300)
    before = (
        f"Failed: small ({first.generation_id}) before its first token: {taken_over.reason}; large took over"
    )
    assert before in text
    assert f"Failed: large ({second.generation_id}) after 7 tokens: [cut] off\n" in text
    assert "Failed" not in shown(await answered(DECIDED))
