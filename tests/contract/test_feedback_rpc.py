"""Every RPC of the feedback service with a real client, a real server and a real log."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import pytest
from conftest import free_port, start_valkey
from feedback_process import decision, fields_of, zoo_data
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from messplus.common.v1 import common_pb2
from messplus.feedback.v1 import feedback_service_pb2 as pb
from messplus.feedback.v1 import feedback_service_pb2_grpc

from services.common.decision_token import DecisionTokens
from services.common.event_codec import decode_entry
from services.common.keys import Keys
from services.common.redis_client import connect
from services.common.rpc import instrument
from services.common.server import ServiceServer
from services.common.zoo_file import parse_zoo
from services.core.events import Label
from services.feedback.labelers import Labelers
from services.feedback.server import SERVICE, compose
from services.feedback.settings import FeedbackSettings

KEYS = Keys("rpc")


class Caller:
    """A client of a running service, with the decision ids of a router."""

    def __init__(self, stub, redis, tokens) -> None:
        self.stub, self.redis, self._tokens = stub, redis, tokens

    def verdict(self, request_id="r1", **fields) -> pb.SubmitFeedbackRequest:
        fields = {"decision_id": self._tokens.mint(request_id)} | fields
        return pb.SubmitFeedbackRequest(request_id=request_id, **fields)

    async def submit(self, request_id="r1", **fields) -> pb.SubmitFeedbackResponse:
        return await self.stub.SubmitFeedback(self.verdict(request_id, **fields), timeout=10)

    async def refused(self, request_id="r1", **fields) -> tuple[grpc.StatusCode, list]:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.submit(request_id, **fields)
        return status_of(raised.value)

    async def logged(self) -> list[Label]:
        entries = await self.redis.xrange(KEYS.events)
        return [decode_entry(entry_id, fields).event for entry_id, fields in entries]


def status_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, list]:
    found = rpc_status.from_call(SyncCall(error))
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.ResourceInfo)
    unpacked = [
        kind.FromString(packed.value)
        for packed in found.details
        for kind in kinds
        if packed.Is(kind.DESCRIPTOR)
    ]
    return error.code(), unpacked


class SyncCall:
    """An asyncio error in the shape that `rpc_status` reads."""

    def __init__(self, error) -> None:
        self.code, self.details, self.trailing_metadata = error.code, error.details, error.trailing_metadata


@asynccontextmanager
async def serving(redis_url: str) -> AsyncIterator[Caller]:
    redis, server = connect(redis_url), ServiceServer("127.0.0.1:0", [SERVICE], 1.0)
    tokens = DecisionTokens.new()
    await tokens.share(redis, KEYS)
    with ThreadPoolExecutor(1) as executor:
        zoo = parse_zoo(zoo_data("rpc"), "test")
        servicer, _ = compose(zoo, redis, Labelers(executor, None), FeedbackSettings(_env_file=None))
        instrument(servicer, SERVICE)
        feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server(servicer, server.tolerant)
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
            try:
                yield Caller(stub, redis, tokens)
            finally:
                await server.drain()
                await redis.aclose()


@pytest.fixture
async def caller(redis_url):
    async with serving(redis_url) as running:
        yield running


@pytest.mark.parametrize(
    ("verdict", "satisfaction"),
    [({"satisfied": True}, 1.0), ({"satisfied": False}, 0.0), ({"satisfaction": 0.25}, 0.25)],
)
async def test_a_verdict_is_in_the_log_when_it_is_acknowledged(caller, verdict, satisfaction):
    receipt = await caller.submit(generation_id="g1", **verdict)
    [(position, _)] = await caller.redis.xrange(KEYS.events)
    assert receipt == pb.SubmitFeedbackResponse(satisfaction=satisfaction, log_position=position.decode())
    assert await caller.logged() == [Label("r1", "g1", satisfaction, "client")]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"request_id": "", "satisfied": True}, ["request_id"]),
        ({"request_id": "x" * 129, "generation_id": "y" * 129}, ["request_id", "generation_id", "verdict"]),
        ({"satisfaction": 1.5}, ["satisfaction"]),
        ({"satisfaction": float("nan")}, ["satisfaction"]),
        ({"reference": common_pb2.ReferenceAnswer(metric="vibes")}, ["reference.text", "reference.metric"]),
        ({}, ["verdict"]),
    ],
)
async def test_wrong_fields_are_named_all_at_once(caller, fields, names):
    code, [info, bad] = await caller.refused(**fields)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == "InvalidRequest"
    assert [violation.field for violation in bad.field_violations] == names
    assert all("allowed" in violation.description for violation in bad.field_violations)
    assert await caller.logged() == []


@pytest.mark.parametrize("decision_id", ["", "f" * 32, "é"])
async def test_who_has_no_decision_id_labels_nothing(caller, decision_id):
    code, [_, resource] = await caller.refused(decision_id=decision_id, satisfied=True)
    assert code is grpc.StatusCode.NOT_FOUND
    assert (resource.resource_type, resource.resource_name) == ("decision", "r1")
    assert await caller.logged() == []


async def keep_text(caller, request_id="r1", **answers) -> None:
    fields = {f"answer:{generation_id}": answer for generation_id, answer in answers.items()}
    await caller.redis.hset(KEYS.text(request_id), mapping={"prompt": "2 + 2?", **fields})


async def test_a_reference_is_compared_with_the_served_answer(caller):
    event = decision("r1", 1, explored=True)
    position = await caller.redis.xadd(KEYS.events, fields_of(event))
    await caller.redis.set(KEYS.decided("r1"), position)
    await keep_text(caller, **{"r1-small": "it is 4", "r1-large": "it is 5"})
    reference = common_pb2.ReferenceAnswer(text="4", metric="numeric")
    assert (await caller.submit(reference=reference)).satisfaction == 1.0
    assert (await caller.submit(reference=reference, generation_id="r1-large")).satisfaction == 0.0
    assert (await caller.logged())[1:] == [
        Label("r1", "r1-small", 1.0, "reference"),
        Label("r1", "r1-large", 0.0, "reference"),
    ]


async def test_a_reference_without_a_stored_text_gets_a_hint(caller):
    code, details = await caller.refused(reference=common_pb2.ReferenceAnswer(text="4"))
    assert (code, details[1].resource_type) == (grpc.StatusCode.NOT_FOUND, "text")
    await keep_text(caller, g1="4")
    code, _ = await caller.refused(generation_id="g2", reference=common_pb2.ReferenceAnswer(text="4"))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_reference_that_cannot_be_compared_is_the_callers_mistake(caller):
    await keep_text(caller, g1="4")
    reference = common_pb2.ReferenceAnswer(text="four", metric="numeric")
    code, [_, bad] = await caller.refused(generation_id="g1", reference=reference)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "reference"


async def test_a_stream_keeps_its_order_and_names_what_it_refuses(caller):
    count = 3000
    verdicts = [caller.verdict(f"r{i}", satisfaction=i / count) for i in range(count)]
    verdicts[7].decision_id = "wrong"
    verdicts[11].satisfaction = 2.0
    receipt = await caller.stub.SubmitFeedbackBatch(
        (pb.SubmitFeedbackBatchRequest(feedback=verdict) for verdict in verdicts), timeout=30
    )
    assert (receipt.accepted, receipt.rejected) == (count - 2, 2)
    assert [rejection.index for rejection in receipt.rejections] == [7, 11]
    assert "decision_id" in receipt.rejections[0].reason
    assert "allowed: 0 to 1" in receipt.rejections[1].reason
    labels = await caller.logged()
    assert [label.request_id for label in labels] == [f"r{i}" for i in range(count) if i not in (7, 11)]


async def test_only_the_first_hundred_refusals_are_named(caller):
    nothing = [pb.SubmitFeedbackBatchRequest()] * 150
    receipt = await caller.stub.SubmitFeedbackBatch(iter(nothing), timeout=10)
    assert (receipt.accepted, receipt.rejected, len(receipt.rejections)) == (0, 150, 100)


async def test_status_before_anything_happened(caller):
    status = await caller.stub.GetLearnerStatus(pb.GetLearnerStatusRequest(), timeout=10)
    assert status == pb.GetLearnerStatusResponse(log_position="0-0", lag_time={})


async def test_status_counts_what_nobody_has_learned_from(caller):
    await caller.submit(satisfied=True)
    await caller.submit(satisfied=True)
    status = await caller.stub.GetLearnerStatus(pb.GetLearnerStatusRequest(), timeout=10)
    assert status.lag_events == 2
    assert status.lag_time.ToNanoseconds() >= 0


async def test_without_its_log_nothing_is_acknowledged(tmp_path):
    port = free_port()
    valkey = start_valkey(port, tmp_path, "--save", "")
    try:
        async with serving(f"redis://127.0.0.1:{port}/0") as caller:
            await caller.submit(satisfied=True)
            valkey.kill()
            valkey.wait()
            code, [info] = await caller.refused(satisfied=True)
            assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "StateUnavailable")
            one = pb.SubmitFeedbackBatchRequest(feedback=caller.verdict(satisfied=True))
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await caller.stub.SubmitFeedbackBatch(iter([one, one]), timeout=10)
            code, [info] = status_of(raised.value)
            assert (code, dict(info.metadata)) == (grpc.StatusCode.UNAVAILABLE, {"recorded": "0"})
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await caller.stub.GetLearnerStatus(pb.GetLearnerStatusRequest(), timeout=10)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            valkey = start_valkey(port, tmp_path, "--save", "")
            assert (await caller.submit(satisfied=True)).log_position
    finally:
        valkey.kill()
        valkey.wait()


async def test_a_full_log_is_unavailable_not_broken(caller):
    await caller.submit(satisfied=True)
    await caller.redis.config_set("maxmemory", 1)
    try:
        code, _ = await caller.refused(satisfied=True)
    finally:
        await caller.redis.config_set("maxmemory", 0)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert (await caller.submit(satisfied=True)).log_position
