"""Every wrong field is named, with its value and what is allowed."""

import math
from typing import Any

import pytest
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb

from services.core.errors import InvalidRequestError
from services.router.validation import MAX_PROMPT_BYTES, Validation
from tests.unit.router_fakes import zoo_of

VALIDATION = Validation(zoo_of(), zoo_of().model_ids)
PROMPT = common_pb2.Prompt(text="hi")


def chat(*turns: tuple[str, str]) -> common_pb2.Prompt:
    messages = [common_pb2.ChatMessage(role=role, content=content) for role, content in turns]
    return common_pb2.Prompt(chat=common_pb2.ChatMessages(messages=messages))


def fields_of(request: pb.GenerateRequest) -> set[str]:
    with pytest.raises(InvalidRequestError) as error:
        VALIDATION.generate(request)
    return {violation.field for violation in error.value.violations}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": common_pb2.Prompt()}, "prompt"),
        ({"prompt": common_pb2.Prompt(text="x" * (MAX_PROMPT_BYTES + 1))}, "prompt.text"),
        ({"prompt": common_pb2.Prompt(text="é" * (MAX_PROMPT_BYTES // 2 + 1))}, "prompt.text"),
        ({"prompt": chat()}, "prompt.chat.messages"),
        ({"prompt": chat(*[("user", "x")] * 257)}, "prompt.chat.messages"),
        ({"prompt": chat(("robot", "x"))}, "prompt.chat.messages[0].role"),
        ({"prompt": chat(("user", "x"), ("user", ""))}, "prompt.chat.messages[1].content"),
        ({"request_id": "a b"}, "request_id"),
        ({"request_id": "x" * 129}, "request_id"),
        ({"routing": pb.RoutingOptions(sla_class="gold")}, "routing.sla_class"),
        ({"routing": pb.RoutingOptions(min_satisfaction=0.0)}, "routing.min_satisfaction"),
        ({"routing": pb.RoutingOptions(min_satisfaction=math.nan)}, "routing.min_satisfaction"),
        ({"routing": pb.RoutingOptions(conversation_id="x" * 129)}, "routing.conversation_id"),
        ({"routing": pb.RoutingOptions(max_time_to_first_token={})}, "routing.max_time_to_first_token"),
        ({"sampling": common_pb2.SamplingParameters(max_tokens=0)}, "sampling.max_tokens"),
        ({"sampling": common_pb2.SamplingParameters(temperature=math.inf)}, "sampling.temperature"),
        ({"sampling": common_pb2.SamplingParameters(top_p=math.nan)}, "sampling.top_p"),
        ({"sampling": common_pb2.SamplingParameters(top_k=-1)}, "sampling.top_k"),
        ({"sampling": common_pb2.SamplingParameters(presence_penalty=-2.1)}, "sampling.presence_penalty"),
        ({"sampling": common_pb2.SamplingParameters(stop=["x"] * 17)}, "sampling.stop"),
        ({"sampling": common_pb2.SamplingParameters(stop=[""])}, "sampling.stop[0]"),
        ({"labeling": pb.LabelingOptions(judge=pb.Judge())}, "labeling.judge"),
        (
            {"labeling": pb.LabelingOptions(reference={"text": "x", "metric": "bleu4"})},
            "labeling.reference.metric",
        ),
        ({"labeling": pb.LabelingOptions(reference={"text": ""})}, "labeling.reference.text"),
        ({"labeling": pb.LabelingOptions(verifier=pb.Verifier())}, "labeling.verifier"),
        ({"labeling": pb.LabelingOptions(verifier=pb.Verifier(regex="["))}, "labeling.verifier.regex"),
        ({"labeling": pb.LabelingOptions(verifier={"json_schema": "3"})}, "labeling.verifier.json_schema"),
    ],
)
def test_one_wrong_field(changes: dict[str, Any], field: str) -> None:
    assert fields_of(pb.GenerateRequest(**{"prompt": PROMPT, **changes})) == {field}


def test_the_newest_user_turn_is_what_routing_sees() -> None:
    prompt = chat(("system", "be brief"), ("user", "first"), ("assistant", "answer"), ("user", "second"))
    request, work = VALIDATION.generate(pb.GenerateRequest(prompt=prompt))
    assert (request.text, request.prompt_bytes) == ("second", 25)
    assert common_pb2.Prompt.FromString(work.prompt) == prompt


def test_minted_ids_are_different_and_valid() -> None:
    ids = [VALIDATION.decide(pb.DecideRequest(prompt=PROMPT)).request_id for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert VALIDATION.decide(pb.DecideRequest(prompt=PROMPT, request_id=ids[0])).supplied
