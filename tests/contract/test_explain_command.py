"""`messplus explain` against a real router, and what it says where it gets no answer."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb

from tests.conftest import free_port
from tests.contract.router_system import ScriptedWorker, System, explained, running_router, serving, zoo_of

PROMPT = common_pb2.Prompt(text="What is 6 times 7?")


@pytest.fixture
async def system(redis_url: str, tmp_path: Path) -> AsyncIterator[System]:
    workers = [ScriptedWorker("small"), ScriptedWorker("large")]
    async with (
        serving(workers[0]),
        serving(workers[1]),
        running_router(redis_url, tmp_path, zoo_of(workers)) as running,
    ):
        yield running


async def decided(system: System) -> str:
    return (await system.stub.Decide(pb.DecideRequest(prompt=PROMPT))).decision.request_id


async def test_the_first_router_that_answers_is_asked(system: System, tmp_path: Path) -> None:
    request_id, nobody = await decided(system), f"127.0.0.1:{free_port()}"
    status, output = await explained(tmp_path, request_id, nobody, system.address)
    assert status == 0, output
    assert f"Request {request_id}: small for SLA class standard" in output


async def test_as_json_it_is_the_routers_answer(system: System, tmp_path: Path) -> None:
    request_id = await decided(system)
    status, output = await explained(tmp_path, request_id, system.address, option="--json")
    assert status == 0
    answer = json.loads(output)
    assert answer["decision"]["request_id"] == request_id
    assert [(score["model_id"], score["chosen"]) for score in answer["scores"]] == [
        ("small", True),
        ("large", False),
    ]
    assert answer["decision_debt"] == 0.0


async def test_the_debt_that_a_decision_saw_is_told(system: System) -> None:
    for debt in (0.0, 0.1):
        request = pb.ExplainDecisionRequest(request_id=await decided(system))
        assert (await system.stub.ExplainDecision(request)).decision_debt == pytest.approx(debt)


@pytest.mark.parametrize(
    ("request_id", "words"),
    [("never-seen", "take request_id, not decision_id"), ("abc.0", "its request is abc;")],
)
async def test_an_unknown_id_is_one_line_with_the_remedy(
    system: System, tmp_path: Path, request_id: str, words: str
) -> None:
    status, output = await explained(tmp_path, request_id, system.address)
    assert status == 1
    (line,) = output.splitlines()
    assert f"messplus: request '{request_id}' is not known" in line
    assert words in line


async def test_without_a_router_one_line_says_what_to_do(system: System, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    status, output = await explained(tmp_path, "r", nobody)
    assert status == 1
    (line,) = output.splitlines()
    assert line.startswith(f"messplus: no router answers at {nobody} (")
    assert "start the system with `messplus up`" in line
