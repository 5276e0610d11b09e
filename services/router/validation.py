"""Checks requests: every wrong field at once, each with its value and what is allowed."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2

from services.common.labeling_limits import (
    MAX_REFERENCE_BYTES,
    MAX_REGEX_BYTES,
    MAX_SCHEMA_BYTES,
    REFERENCE_METRICS,
)
from services.common.telemetry import current_traceparent
from services.common.zoo import SlaClassSettings, Zoo
from services.core.errors import FieldViolation, InvalidRequestError
from services.router.requests import Generation, RouteRequest

MAX_PROMPT_BYTES = 131_072
MAX_TURNS = 256
DEFAULT_MAX_TOKENS = 256
_MAX_TOKENS = 32_768
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_ROLES = ("system", "user", "assistant")
_MAX_CONVERSATION_CHARACTERS = 128
_MAX_STOPS, _MAX_STOP_BYTES = 16, 256
_SHOWN_CHARACTERS = 80
_JUDGE = router_service_pb2.LabelingOptions(judge=router_service_pb2.Judge()).SerializeToString()

Violations = list[FieldViolation]


class Validation:
    """Turns wire requests into checked ones for one zoo. Every method raises InvalidRequestError.

    Args:
        zoo: its SLA classes.
        reportable: models whose outcomes are taken.

    """

    def __init__(self, zoo: Zoo, reportable: tuple[str, ...]) -> None:
        self._models = reportable
        self._classes = {sla_class.name: sla_class for sla_class in zoo.sla_classes}
        self._default_class = zoo.sla_classes[0]
        self._has_judge = zoo.judge is not None
        self._mint = _Ids().mint

    def decide(self, request: router_service_pb2.DecideRequest) -> RouteRequest:
        """A `Decide`."""
        found: Violations = []
        max_tokens = request.max_tokens if request.HasField("max_tokens") else DEFAULT_MAX_TOKENS
        if not 1 <= max_tokens <= _MAX_TOKENS:
            found.append(_wrong("max_tokens", max_tokens, f"1 to {_MAX_TOKENS}"))
        return self._route(request.request_id, request.prompt, request.routing, max_tokens, found)

    def generate(self, request: router_service_pb2.GenerateRequest) -> tuple[RouteRequest, Generation]:
        """A `Generate`: what to route, and what to run."""
        found: Violations = []
        sampling = request.sampling
        if request.HasField("sampling"):
            found += _sampling_violations(sampling)
        if request.HasField("labeling"):
            found += _labeling_violations(request.labeling, self._has_judge)
        max_tokens = sampling.max_tokens if sampling.HasField("max_tokens") else DEFAULT_MAX_TOKENS
        route = self._route(request.request_id, request.prompt, request.routing, max_tokens, found)
        labeling = self._labeling(request, route.sla_class)
        prompt_text = "" if labeling is None else _whole_text(request.prompt)
        work = Generation(
            request.prompt.SerializeToString(), sampling.SerializeToString(), labeling, prompt_text
        )
        return route, work

    def _labeling(
        self, request: router_service_pb2.GenerateRequest, sla_class: SlaClassSettings
    ) -> bytes | None:
        if request.HasField("labeling"):
            return request.labeling.SerializeToString()
        return _JUDGE if sla_class.labeler == "judge" else None

    def outcome(self, request: router_service_pb2.ReportOutcomeRequest) -> None:
        """A `ReportOutcome`."""
        found = list(_outcome_violations(request))
        if request.model_id not in self._models:
            found.append(_wrong("model_id", request.model_id, f"one of {', '.join(self._models)}"))
        if found:
            raise InvalidRequestError(found)

    def _route(
        self,
        request_id: str,
        prompt: common_pb2.Prompt,
        routing: router_service_pb2.RoutingOptions,
        max_tokens: int,
        found: Violations,
    ) -> RouteRequest:
        sla_class = self._classes.get(routing.sla_class) if routing.sla_class else self._default_class
        if sla_class is None:
            found.append(_wrong("routing.sla_class", routing.sla_class, f"one of {', '.join(self._classes)}"))
            sla_class = self._default_class
        if request_id and not _REQUEST_ID.fullmatch(request_id):
            found.append(_wrong("request_id", request_id, "1 to 128 of A-Z a-z 0-9 . _ : -"))
        text, prompt_bytes = _prompt(prompt, found)
        limit = _routing(routing, found)
        if found:
            raise InvalidRequestError(found)
        return RouteRequest(
            request_id or self._mint(),
            bool(request_id),
            text,
            sla_class,
            _min_satisfaction(routing, sla_class),
            prompt_bytes,
            max_tokens,
            routing.conversation_id,
            limit,
            current_traceparent(),
        )


class _Ids:
    """Mints request ids: random, so that replicas need not agree; one system call serves many."""

    def __init__(self) -> None:
        self._left: Iterator[str] = iter(())

    def mint(self) -> str:
        """32 hexadecimal digits."""
        for request_id in self._left:
            return request_id
        digits = os.urandom(16 * 256).hex()
        self._left = iter([digits[i : i + 32] for i in range(0, len(digits), 32)])
        return next(self._left)


def interval_seconds(interval: Duration, is_set: bool) -> float:
    """The interval of a watch, 1 s by default. Raises InvalidRequestError outside 0.1 s to 60 s."""
    seconds = interval.seconds + interval.nanos / 1e9 if is_set else 1.0
    if not 0.1 <= seconds <= 60.0:
        raise InvalidRequestError([_wrong("interval", f"{seconds:g} s", "0.1 s to 60 s")])
    return seconds


def _wrong(field: str, value: object, allowed: str) -> FieldViolation:
    shown = repr(value) if isinstance(value, str) else str(value)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return FieldViolation(field, f"is {shown}, allowed: {allowed}")


def _min_satisfaction(routing: router_service_pb2.RoutingOptions, sla_class: SlaClassSettings) -> float:
    return routing.min_satisfaction if routing.HasField("min_satisfaction") else sla_class.min_satisfaction


def _routing(routing: router_service_pb2.RoutingOptions, found: Violations) -> float | None:
    """Checks the options; returns the latency objective in seconds."""
    if routing.HasField("min_satisfaction") and not 0.0 < routing.min_satisfaction < 1.0:
        found.append(_wrong("routing.min_satisfaction", routing.min_satisfaction, "above 0 and below 1"))
    if len(routing.conversation_id) > _MAX_CONVERSATION_CHARACTERS:
        allowed = f"at most {_MAX_CONVERSATION_CHARACTERS} characters"
        found.append(_wrong("routing.conversation_id", f"{len(routing.conversation_id)} characters", allowed))
    if not routing.HasField("max_time_to_first_token"):
        return None
    limit = _seconds(routing.max_time_to_first_token)
    if limit <= 0.0:
        found.append(_wrong("routing.max_time_to_first_token", f"{limit:g} s", "more than 0 s"))
    return limit


def _seconds(duration: Duration) -> float:
    return float(duration.seconds) + duration.nanos / 1e9


def _prompt(prompt: common_pb2.Prompt, found: Violations) -> tuple[str, int]:
    """The newest user turn, which is what routing looks at, and the bytes of all turns."""
    kind = prompt.WhichOneof("content")
    if kind == "text":
        size = _size(prompt.text)
        if not 1 <= size <= MAX_PROMPT_BYTES:
            found.append(_wrong("prompt.text", f"{size} bytes", f"1 to {MAX_PROMPT_BYTES} bytes of UTF-8"))
        return prompt.text, size
    if kind is None:
        found.append(_wrong("prompt", "empty", "either text or chat"))
        return "", 0
    return _chat(prompt.chat.messages, found)


def _chat(messages: Iterable[common_pb2.ChatMessage], found: Violations) -> tuple[str, int]:
    turns = list(messages)
    if not 1 <= len(turns) <= MAX_TURNS:
        found.append(_wrong("prompt.chat.messages", f"{len(turns)} turns", f"1 to {MAX_TURNS}"))
    total = 0
    for i, turn in enumerate(turns):
        size = _size(turn.content)
        total += size
        if turn.role not in _ROLES:
            found.append(_wrong(f"prompt.chat.messages[{i}].role", turn.role, " or ".join(_ROLES)))
        if not 1 <= size <= MAX_PROMPT_BYTES:
            field = f"prompt.chat.messages[{i}].content"
            found.append(_wrong(field, f"{size} bytes", f"1 to {MAX_PROMPT_BYTES} bytes of UTF-8"))
    asked = [turn.content for turn in turns if turn.role == "user"] or [turn.content for turn in turns]
    return (asked[-1] if asked else ""), total


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _whole_text(prompt: common_pb2.Prompt) -> str:
    """The prompt for who judges the answer: the text itself, or the turns with their roles."""
    if prompt.WhichOneof("content") == "text":
        return prompt.text
    turns = prompt.chat.messages
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


_RANGES: tuple[tuple[Any, float, float], ...] = (
    ("max_tokens", 1, _MAX_TOKENS),
    ("temperature", 0, 2),
    ("top_k", 0, 1000),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)


def _sampling_violations(sampling: common_pb2.SamplingParameters) -> Iterator[FieldViolation]:
    for name, low, high in _RANGES:
        value = getattr(sampling, name)
        if sampling.HasField(name) and not low <= value <= high:
            yield _wrong(f"sampling.{name}", value, f"{low} to {high}")
    if sampling.HasField("top_p") and not 0.0 < sampling.top_p <= 1.0:
        yield _wrong("sampling.top_p", sampling.top_p, "above 0, up to 1")
    if len(sampling.stop) > _MAX_STOPS:
        yield _wrong("sampling.stop", f"{len(sampling.stop)} strings", f"at most {_MAX_STOPS}")
    for i, stop in enumerate(sampling.stop):
        if not 1 <= _size(stop) <= _MAX_STOP_BYTES:
            yield _wrong(f"sampling.stop[{i}]", f"{_size(stop)} bytes", f"1 to {_MAX_STOP_BYTES} bytes")


def _labeling_violations(
    labeling: router_service_pb2.LabelingOptions, has_judge: bool
) -> Iterator[FieldViolation]:
    match labeling.WhichOneof("labeler"):
        case "reference":
            reference = labeling.reference
            if not 1 <= _size(reference.text) <= MAX_REFERENCE_BYTES:
                allowed = f"1 to {MAX_REFERENCE_BYTES} bytes"
                yield _wrong("labeling.reference.text", f"{_size(reference.text)} bytes", allowed)
            if reference.metric and reference.metric not in REFERENCE_METRICS:
                yield _wrong("labeling.reference.metric", reference.metric, " or ".join(REFERENCE_METRICS))
        case "verifier":
            yield from _verifier_violations(labeling.verifier)
        case "judge":
            if not has_judge:
                yield _wrong("labeling.judge", "set", "only in a zoo with a judge section")


def _verifier_violations(verifier: router_service_pb2.Verifier) -> Iterator[FieldViolation]:
    rule = verifier.WhichOneof("rule")
    if rule == "regex":
        if not 1 <= _size(verifier.regex) <= MAX_REGEX_BYTES:
            size = f"{_size(verifier.regex)} bytes"
            yield _wrong("labeling.verifier.regex", size, f"1 to {MAX_REGEX_BYTES} bytes")
        elif problem := _regex_problem(verifier.regex):
            yield _wrong("labeling.verifier.regex", verifier.regex, f"a regular expression ({problem})")
    elif rule == "json_schema":
        if not 1 <= _size(verifier.json_schema) <= MAX_SCHEMA_BYTES:
            size = f"{_size(verifier.json_schema)} bytes"
            yield _wrong("labeling.verifier.json_schema", size, f"1 to {MAX_SCHEMA_BYTES} bytes")
        elif problem := _schema_problem(verifier.json_schema):
            yield _wrong("labeling.verifier.json_schema", verifier.json_schema, problem)
    else:
        yield _wrong("labeling.verifier", "empty", "either regex or json_schema")


def _regex_problem(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None


def _schema_problem(text: str) -> str | None:
    """Only the form is checked here; what the schema means is the labeler's business."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"a JSON Schema ({error})"
    return None if isinstance(schema, dict | bool) else "a JSON Schema: an object or a boolean"


def _outcome_violations(request: router_service_pb2.ReportOutcomeRequest) -> Iterator[FieldViolation]:
    if not _REQUEST_ID.fullmatch(request.request_id):
        yield _wrong("request_id", request.request_id, "the id of a decision")
    request_id, _, number = request.generation_id.rpartition(".")
    if request.generation_id and not (request_id == request.request_id and _NUMBER.fullmatch(number)):
        yield _wrong("generation_id", request.generation_id, "one that Decide returned for this request")
    for name in ("prompt_tokens", "cached_prompt_tokens", "completion_tokens"):
        if (value := getattr(request.usage, name)) < 0:
            yield _wrong(f"usage.{name}", value, "0 or more")
    for name in ("time_to_first_token", "latency"):
        if (seconds := _seconds(getattr(request, name))) < 0.0:
            yield _wrong(name, f"{seconds:g} s", "0 s or more")
    joules = request.energy_joules
    if request.HasField("energy_joules") and not (math.isfinite(joules) and joules >= 0.0):
        yield _wrong("energy_joules", joules, "0 or more")
    if not 1 <= request.finish_reason <= 4:
        yield _wrong("finish_reason", request.finish_reason, "STOP, LENGTH, CANCELLED or ERROR")
