"""What both clients send, and how their channels behave."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TypedDict

from messplus.common.v1 import common_pb2
from messplus.feedback.v1 import feedback_service_pb2
from messplus.router.v1 import router_service_pb2 as pb

from messplus_client.answers import Answer

Messages = Sequence[Mapping[str, str]]
"""Turns of a conversation, each with the keys role and content."""

TIMEOUT_SECONDS = 120.0
_ATTEMPTS = 3


def channel_options(retry: bool) -> list[tuple[str, str | int]]:
    """All addresses behind a name take turns; what can be repeated safely is, if the service is away."""
    services = ("messplus.router.v1.RouterService", "messplus.feedback.v1.FeedbackService")
    policy = {
        "maxAttempts": _ATTEMPTS,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retry:
        config["methodConfig"] = [{"name": [{"service": name} for name in services], "retryPolicy": policy}]
    return [("grpc.service_config", json.dumps(config)), ("grpc.enable_retries", int(retry))]


class Options(TypedDict, total=False):
    """What may be asked of an answer, by keyword; the defaults are the router's.

    Attributes:
        sla_class: the SLA class.
        conversation_id: keeps one model per conversation where the class asks for it.
        max_tokens: upper bound of the answer.
        temperature: 0 (greedy) to 2.
        stop: the answer ends before any of these.

    """

    sla_class: str
    conversation_id: str
    max_tokens: int
    temperature: float
    stop: Sequence[str]


def generate_request(
    prompt: str | Messages | pb.GenerateRequest, retry: bool, options: Options
) -> pb.GenerateRequest:
    """A request; one that may be repeated carries an id, so that the repeat finds the first one's answer.

    A message is sent as it is. Raises TypeError for an option that there is not.
    """
    if isinstance(prompt, pb.GenerateRequest):
        return prompt
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(
            f"unknown option {', '.join(unknown)}; there are: {', '.join(Options.__annotations__)}"
        )
    return pb.GenerateRequest(
        request_id=uuid.uuid4().hex if retry else "",
        prompt=to_prompt(prompt),
        sampling=common_pb2.SamplingParameters(
            max_tokens=options.get("max_tokens"),
            temperature=options.get("temperature"),
            stop=options.get("stop", ()),
        ),
        routing=pb.RoutingOptions(
            sla_class=options.get("sla_class", ""), conversation_id=options.get("conversation_id", "")
        ),
    )


def decide_request(
    prompt: str | Messages, retry: bool, sla_class: str, max_tokens: int | None
) -> pb.DecideRequest:
    """A request for a decision alone."""
    return pb.DecideRequest(
        request_id=uuid.uuid4().hex if retry else "",
        prompt=to_prompt(prompt),
        routing=pb.RoutingOptions(sla_class=sla_class),
        max_tokens=max_tokens,
    )


def to_prompt(prompt: str | Messages) -> common_pb2.Prompt:
    """A plain text, or a conversation."""
    if isinstance(prompt, str):
        return common_pb2.Prompt(text=prompt)
    turns = [common_pb2.ChatMessage(role=turn["role"], content=turn["content"]) for turn in prompt]
    return common_pb2.Prompt(chat=common_pb2.ChatMessages(messages=turns))


def feedback_request(
    answer: Answer | pb.Decision, satisfied: bool | None, satisfaction: float | None
) -> feedback_service_pb2.SubmitFeedbackRequest:
    """A verdict. Raises ValueError unless exactly one kind is given, on an answer that has begun."""
    decision = answer.decision if isinstance(answer, Answer) else answer
    if decision is None:
        raise ValueError("this answer has no decision yet: read its stream first")
    if (satisfied is None) == (satisfaction is None):
        raise ValueError("give either satisfied (True or False) or satisfaction (0 to 1)")
    request = feedback_service_pb2.SubmitFeedbackRequest(
        request_id=decision.request_id, decision_id=decision.decision_id
    )
    if satisfied is not None:
        request.satisfied = satisfied
    if satisfaction is not None:
        request.satisfaction = satisfaction
    return request
