"""From the wire to tasks, with every wrong field named at once, and from events to the wire."""

import math
from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2

from services.core.errors import FieldViolation, InvalidRequestError
from services.worker.generation import (
    Finished,
    FinishReason,
    GenerationTask,
    Message,
    Sampling,
    TextDelta,
)

MAX_TEXT_BYTES = 131_072
MAX_MESSAGES = 256
MAX_ID_CHARACTERS = 128
MAX_STOP_STRINGS, MAX_STOP_BYTES = 16, 256
ROLES = ("system", "user", "assistant")
_RANGES = {
    "max_tokens": (1, 32_768),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, 1000),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_REASONS = {
    FinishReason.STOP: common_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: common_pb2.FINISH_REASON_LENGTH,
}


def task_of(request: worker_service_pb2.GenerateRequest) -> GenerationTask:
    """The task that a request asks for. Raises InvalidRequestError with every wrong field."""
    violations = [
        *_id_violations(request),
        *_prompt_violations(request),
        *_sampling_violations(request.sampling),
    ]
    if violations:
        raise InvalidRequestError(violations)
    return GenerationTask(
        request.request_id, request.generation_id, _messages(request.prompt), _sampling(request.sampling)
    )


def delta_response(delta: TextDelta) -> worker_service_pb2.GenerateResponse:
    """More text, for the wire."""
    return worker_service_pb2.GenerateResponse(
        delta=worker_service_pb2.TextDelta(text=delta.text, token_count=delta.token_count)
    )


def finished_response(finished: Finished) -> worker_service_pb2.GenerateResponse:
    """The end, for the wire."""
    engine = finished.engine
    usage = common_pb2.Usage(
        prompt_tokens=engine.prompt_tokens,
        cached_prompt_tokens=engine.cached_prompt_tokens,
        completion_tokens=engine.completion_tokens,
    )
    message = worker_service_pb2.Finished(
        finish_reason=_REASONS[engine.reason],
        usage=usage,
        time_to_first_token=_duration(finished.time_to_first_token_seconds),
        queue_time=_duration(finished.queue_seconds),
        prefill_time=_duration(engine.prefill_seconds),
        decode_time=_duration(engine.decode_seconds),
    )
    return worker_service_pb2.GenerateResponse(finished=message)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _messages(prompt: common_pb2.Prompt) -> tuple[Message, ...]:
    if prompt.WhichOneof("content") == "text":
        return (Message("user", prompt.text),)
    return tuple(Message(message.role, message.content) for message in prompt.chat.messages)


def _sampling(wire: common_pb2.SamplingParameters) -> Sampling:
    given = {field.name: value for field, value in wire.ListFields() if field.name != "stop"}
    return Sampling(**given, stop=tuple(wire.stop))


def _id_violations(request: worker_service_pb2.GenerateRequest) -> Iterator[FieldViolation]:
    for field in ("request_id", "generation_id"):
        length = len(getattr(request, field))
        if not 1 <= length <= MAX_ID_CHARACTERS:
            yield FieldViolation(field, f"has {length} characters; must have 1 to {MAX_ID_CHARACTERS}")


def _prompt_violations(request: worker_service_pb2.GenerateRequest) -> Iterator[FieldViolation]:
    match request.prompt.WhichOneof("content"):
        case "text":
            yield from _text_violations("prompt.text", request.prompt.text)
        case "chat":
            yield from _chat_violations(request.prompt.chat)
        case _:
            yield FieldViolation("prompt", "is missing; must have text or chat")


def _chat_violations(chat: common_pb2.ChatMessages) -> Iterator[FieldViolation]:
    if not 1 <= len(chat.messages) <= MAX_MESSAGES:
        yield FieldViolation(
            "prompt.chat.messages", f"has {len(chat.messages)}; must have 1 to {MAX_MESSAGES}"
        )
    for i, message in enumerate(chat.messages):
        path = f"prompt.chat.messages[{i}]"
        if message.role not in ROLES:
            yield FieldViolation(
                f"{path}.role", f"is {message.role[:32]!r}; must be one of {', '.join(ROLES)}"
            )
        yield from _text_violations(f"{path}.content", message.content)


def _text_violations(path: str, text: str) -> Iterator[FieldViolation]:
    size = len(text.encode("utf-8"))
    if not 1 <= size <= MAX_TEXT_BYTES:
        yield FieldViolation(path, f"has {size} bytes; must have 1 to {MAX_TEXT_BYTES}")


def _sampling_violations(wire: common_pb2.SamplingParameters) -> Iterator[FieldViolation]:
    given = {field.name: value for field, value in wire.ListFields()}
    for name, (low, high) in _RANGES.items():
        value = given.get(name, high)
        if not (math.isfinite(value) and low <= value <= high) or (name == "top_p" and value == 0):
            interval = f"in (0, {high}]" if name == "top_p" else f"from {low} to {high}"
            yield FieldViolation(f"sampling.{name}", f"is {value:g}; must be {interval}")
    if len(wire.stop) > MAX_STOP_STRINGS:
        yield FieldViolation("sampling.stop", f"has {len(wire.stop)}; must have at most {MAX_STOP_STRINGS}")
    for i, stop in enumerate(wire.stop[:MAX_STOP_STRINGS]):
        size = len(stop.encode("utf-8"))
        if not 1 <= size <= MAX_STOP_BYTES:
            yield FieldViolation(f"sampling.stop[{i}]", f"has {size} bytes; must have 1 to {MAX_STOP_BYTES}")
