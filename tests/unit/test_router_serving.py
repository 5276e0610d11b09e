"""The story of a request: failover, exploration, repeats, overload, cancellation, degraded operation."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from services.common.learning import feature_count_of, policy_of, priors_of
from services.core.errors import (
    InvalidRequestError,
    NoEligibleModelError,
    OverloadedError,
    WorkerFailedError,
)
from services.core.events import Decision, Event, Outcome, Redecision, Role
from services.router.choosing import Chooser
from services.router.claiming import Claiming
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.decide import Decide
from services.router.deciding import Deciding
from services.router.fleet import Fleet, watch_worker
from services.router.generate import Generate, InFlight
from services.router.instruments import Instruments
from services.router.outcomes import Outcomes
from services.router.ports import WorkerStatus
from services.router.refusals import Refusal, WorkerRefusal
from services.router.requests import Ended, Generation, Piece, Record, RouteRequest, Started, Text
from services.router.running import Explorations, Running
from services.router.serving import Serving
from services.router.snapshots import Snapshots
from tests.unit.router_fakes import (
    FakeClaims,
    FakeConversations,
    FakeLog,
    FakeTexts,
    FakeWorker,
    FixedFeatures,
    NoEnergy,
    states_of,
    zoo_of,
)

BROKEN = WorkerRefusal(Refusal.BROKEN, "told to fail")
WORK = Generation(b"", b"")
EXPLORER = {"name": "messplus-2025", "parameters": {"exploration_scale": 1e6}}


@dataclass
class Bench:
    """A router of fakes."""

    generate: Generate
    decide: Decide
    commits: Commits
    fleet: Fleet
    snapshots: Snapshots
    log: FakeLog
    claims: FakeClaims
    texts: FakeTexts
    outcomes: Outcomes
    explorations: Explorations
    zoo: Any

    def request(self, request_id: str = "", conversation_id: str = "") -> RouteRequest:
        sla_class = self.zoo.sla_classes[0]
        return RouteRequest(
            request_id or "minted", bool(request_id), "hi", sla_class, 0.6, 2, 16, conversation_id
        )

    async def pieces(self, request_id: str = "", work: Generation = WORK) -> list[Piece]:
        return [piece async for piece in self.generate.generate(self.request(request_id), work, None)]

    async def events(self) -> list[Event]:
        await self.explorations.drain()
        await self.outcomes.drain()
        await self.commits.flushed()
        return [e.event for e in self.log.entries]

    async def outcomes_logged(self) -> list[tuple[str, Role, str]]:
        found = [e for e in await self.events() if isinstance(e, Outcome)]
        return [(e.model_id, e.role, e.finish_reason) for e in found]


def bench(workers: Sequence[FakeWorker], max_in_flight: int = 10, **sections: Any) -> Bench:
    zoo = zoo_of(**sections)
    policy, priors, instruments = policy_of(zoo), priors_of(zoo), Instruments()
    log, claims, texts, classes = FakeLog(), FakeClaims(), FakeTexts(), ClassStates(("standard",))
    fleet = Fleet(zoo, states_of(zoo, workers))
    for state in fleet.workers:
        fleet.update(state, WorkerStatus(True, "", "w", 2048, 4))
    snapshots = Snapshots(policy, priors, feature_count_of(zoo), 5.0, instruments)
    commits = Commits(log, classes, instruments, 100, linger_seconds=0.0)
    chooser = Chooser(zoo, policy, priors, FixedFeatures(), fleet, snapshots, classes, "router")
    deciding = Deciding(chooser, commits, FakeConversations())
    claiming, outcomes = Claiming(claims, 5.0), Outcomes(commits, texts, instruments)
    running = Running(fleet, outcomes, 10.0)
    explorations = Explorations()
    serving = Serving(deciding, fleet, running, explorations, commits, NoEnergy())
    generate = Generate(serving, claiming, explorations, InFlight(max_in_flight))
    return Bench(
        generate,
        Decide(deciding, claiming),
        commits,
        fleet,
        snapshots,
        log,
        claims,
        texts,
        outcomes,
        explorations,
        zoo,
    )


async def test_a_served_request_is_decided_answered_and_recorded() -> None:
    router = bench([FakeWorker(), FakeWorker()])
    started, *texts, ended = await router.pieces()
    assert isinstance(started, Started)
    assert started.model_id == "small"
    assert texts == [Text("a"), Text("b")]
    assert isinstance(ended, Ended)
    assert (ended.completion_tokens, ended.energy.quality) == (2, "ESTIMATED")
    assert await router.outcomes_logged() == [("small", Role.SERVED, "stop")]


async def test_tokens_without_text_make_no_messages_but_count() -> None:
    router = bench([FakeWorker(("", "a", "", "b", "")), FakeWorker()])
    started, *texts, ended = await router.pieces()
    assert isinstance(started, Started)
    assert texts == [Text("a"), Text("b")]
    assert isinstance(ended, Ended)
    assert ended.completion_tokens == 5


async def test_a_failure_before_the_first_token_is_never_seen() -> None:
    router = bench([FakeWorker(fails_at=0, refusal=BROKEN), FakeWorker(("ok",))])
    started, *texts, _ = await router.pieces()
    assert isinstance(started, Started)
    assert (started.model_id, started.generation_id) == ("large", "minted.r1")
    assert texts == [Text("ok")]
    await router.events()
    assert len(router.log.of(Redecision)) == 1
    assert sum(e.debt_change for e in router.log.entries) == pytest.approx(0.6 - 0.6)


async def test_a_failure_after_the_first_token_is_an_error() -> None:
    router = bench([FakeWorker(fails_at=1, refusal=BROKEN), FakeWorker()])
    with pytest.raises(WorkerFailedError) as error:
        await router.pieces()
    assert (error.value.model_id, error.value.tokens_sent) == ("small", 1)
    assert await router.outcomes_logged() == [("small", Role.FAILED, "error")]


@pytest.mark.parametrize(
    ("kind", "expected"), [(Refusal.BUSY, OverloadedError), (Refusal.INVALID, NoEligibleModelError)]
)
async def test_when_nobody_can_answer_the_error_says_why(kind: Refusal, expected: type[Exception]) -> None:
    refusal = WorkerRefusal(kind, "no")
    router = bench([FakeWorker(fails_at=0, refusal=refusal) for _ in range(2)])
    with pytest.raises(expected):
        await router.pieces()


async def test_an_exploration_runs_every_other_model() -> None:
    workers = [FakeWorker(("s",)), FakeWorker(("l",))]
    router = bench(workers, policy=EXPLORER)
    work = Generation(b"", b"", b"reference", "hi")
    started, *_ = await router.pieces(work=work)
    assert isinstance(started, Started)
    assert started.explored
    assert set(await router.outcomes_logged()) == {
        ("small", Role.EXPLORED, "stop"),
        ("large", Role.SERVED, "stop"),
    }
    assert router.texts.stored == {"minted.0": "l", "minted.1": "s"}


async def test_a_text_that_cannot_be_kept_costs_no_outcome_and_shows_no_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = bench([FakeWorker(), FakeWorker()])
    router.texts.defect = RuntimeError("HSET hi")
    await router.pieces(work=Generation(b"", b"", b"reference", "hi"))
    assert await router.outcomes_logged() == [("small", Role.SERVED, "stop")]
    assert "is not kept: RuntimeError" in caplog.text
    assert "HSET" not in caplog.text


async def test_a_worker_that_refuses_at_once_is_not_asked_without_a_pause() -> None:
    router = bench([FakeWorker(), FakeWorker()])
    state = states_of(zoo_of(), [FakeWorker(), FakeWorker()])[0]
    loop = asyncio.get_running_loop()
    began = loop.time()
    await watch_worker(lambda: router.fleet, state)
    assert loop.time() - began >= 0.1


async def test_a_failed_exploration_harms_nobody() -> None:
    router = bench([FakeWorker(fails_at=0, refusal=BROKEN), FakeWorker(("l",))], policy=EXPLORER)
    assert Text("l") in await router.pieces()
    assert ("small", Role.FAILED, "error") in await router.outcomes_logged()


async def test_a_repeat_gets_the_first_answer() -> None:
    workers = [FakeWorker(), FakeWorker()]
    router = bench(workers)
    first, again = await router.pieces("mine"), await router.pieces("mine")
    assert isinstance(again[0], Started)
    assert again[0].replayed
    assert again[1:] == [Text("ab"), first[-1]]
    assert workers[0].generated == ["mine.0"]
    assert (await router.decide.decide(router.request("mine"))).replayed


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.002)


async def test_claims_are_renewed_while_they_run_also_after_an_outage_and_no_longer() -> None:
    claims = FakeClaims()
    claiming = Claiming(claims, 5.0, renew_seconds=0.005)
    record = Record("generate")
    assert await claiming.claim("mine", record) is None
    claims.away = True
    await eventually(lambda: len(claims.renewals) >= 2)
    claims.away = False
    await eventually(lambda: len(claims.renewals) >= 4)
    assert all(renewed == ["mine"] for renewed in claims.renewals)
    await claiming.finish("mine", record)
    await eventually(lambda: not any(task.get_name() == "renewing claims" for task in asyncio.all_tasks()))
    assert await claiming.claim("other", record) is None
    await eventually(lambda: ["other"] in claims.renewals)
    await claiming.release("other")


async def test_an_id_that_was_only_routed_has_no_answer_to_repeat() -> None:
    router = bench([FakeWorker(), FakeWorker()])
    await router.decide.decide(router.request("routed"))
    with pytest.raises(InvalidRequestError):
        await router.pieces("routed")


async def test_an_id_whose_request_was_not_decided_is_free_again() -> None:
    router = bench([FakeWorker(), FakeWorker()])
    for state in router.fleet.workers:
        router.fleet.update(state, WorkerStatus(False, "loading"))
    with pytest.raises(NoEligibleModelError) as error:
        await router.pieces("mine")
    assert error.value.reasons == {"small": "loading", "large": "loading"}
    assert router.claims.records == {}


async def test_one_request_too_many_is_refused() -> None:
    gate = asyncio.Event()
    router = bench([FakeWorker(go_on=gate), FakeWorker()], max_in_flight=1)
    running = asyncio.create_task(router.pieces())
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await router.pieces()
    gate.set()
    await running
    assert len(await router.pieces()) == 4


async def test_a_cancelled_request_stops_its_worker_and_is_recorded() -> None:
    worker = FakeWorker(go_on=asyncio.Event())
    router = bench([worker, FakeWorker()])
    stream = router.generate.generate(router.request("mine"), WORK, None)
    assert isinstance(await anext(stream), Started)
    assert await anext(stream) == Text("a")
    await stream.aclose()
    assert worker.closed == 1
    assert await router.outcomes_logged() == [("small", Role.FAILED, "cancelled")]
    with pytest.raises(WorkerFailedError):
        await router.pieces("mine")


async def test_without_its_stores_the_router_goes_on_and_says_so() -> None:
    router = bench([FakeWorker(), FakeWorker()])
    router.log.away = router.claims.away = True
    await router.pieces("first")
    await router.commits.flushed()
    started = (await router.pieces("second"))[0]
    assert isinstance(started, Started)
    assert started.degraded
    router.log.away = False
    await router.commits.close(5.0)
    assert [entry.once for entry in router.log.entries if isinstance(entry.event, Decision)] == [True] * 2


async def test_a_full_disk_is_logged_once_and_not_per_request(caplog: pytest.LogCaptureFixture) -> None:
    router = bench([FakeWorker(), FakeWorker()])
    work = Generation(b"", b"", b"reference", "hi")
    router.log.away = router.claims.away = router.texts.away = True
    for i in range(10):
        await router.pieces(f"away-{i}", work)
    await router.outcomes.drain()
    await router.commits.flushed()
    begun = [record.getMessage() for record in caplog.records]
    assert len(begun) == len(set(begun)) == 3
    assert {message.partition("; ")[2] for message in begun} == {
        "going on with the last known state",
        "answers that end meanwhile stay unlabelled",
        "repeats of requests may find no result",
    }
    router.log.away = router.claims.away = router.texts.away = False
    await router.pieces("back", work)
    await router.outcomes.drain()
    await router.commits.close(5.0)
    assert "the store of texts is back, after 10 failures" in caplog.text
    assert "the store of claims is back, after 10 failures" in caplog.text
    assert caplog.text.count("is back") == 3


async def test_without_any_learned_state_the_fallback_serves() -> None:
    classes = [{"name": "standard", "min_satisfaction": 0.6, "fallback_model": "small"}]
    router = bench([FakeWorker(("s",)), FakeWorker(("l",))], sla_classes=classes, policy=EXPLORER)
    router.snapshots.current = None
    started = await router.decide.decide(router.request())
    assert (started.model_id, started.explored, started.snapshot_version) == ("small", False, 0)


async def test_a_decision_records_the_load_that_lowered_its_joules() -> None:
    made = []
    for running in (0, 3):
        router = bench([FakeWorker(), FakeWorker()], policy={"name": "pacer"}, step_joules=3.0)
        router.fleet.workers[1].in_flight = running
        await router.decide.decide(router.request())
        made += [event for event in await router.events() if isinstance(event, Decision)]
    idle, loaded = made
    factor = (3.0 / 4.0 + 1.0) / 4.0
    assert (idle.load_factors, loaded.load_factors) == ((), (1.0, factor))
    assert list(loaded.energy_joules) == [idle.energy_joules[0], idle.energy_joules[1] * factor]
