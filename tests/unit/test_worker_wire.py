"""What the wire may say, and llama.cpp's chunks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messplus.common.v1 import common_pb2
from messplus.worker.v1 import worker_service_pb2 as pb

from services.core.errors import EngineError, InvalidRequestError
from services.worker.adapters.llamacpp_chunks import ChunkReader, request_json
from services.worker.generation import EngineFinished, FinishReason, Message, Sampling, TextDelta
from services.worker.translation import task_of

NAN = float("nan")


def request(text: str = "hi", **sampling: Any) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        request_id="r", generation_id="g", prompt=common_pb2.Prompt(text=text), sampling=sampling
    )


def test_unset_fields_take_their_defaults() -> None:
    assert task_of(request()).sampling == Sampling()
    assert task_of(request()).messages == (Message("user", "hi"),)


def test_zero_is_a_value_not_a_default() -> None:
    sampling = task_of(request(seed=0, temperature=0.0, top_k=0)).sampling
    assert (sampling.seed, sampling.temperature, sampling.top_k) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 32_769),
        ("temperature", NAN),
        ("temperature", 2.1),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_k", -1),
        ("presence_penalty", -2.5),
        ("frequency_penalty", float("inf")),
    ],
)
def test_values_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        task_of(request(**{field: value}))
    (violation,) = refusal.value.violations
    assert violation.field == f"sampling.{field}"
    assert f"{value:g}" in violation.description


def test_all_violations_come_at_once() -> None:
    chat = common_pb2.ChatMessages(messages=[common_pb2.ChatMessage(role="tool", content="")])
    wrong = pb.GenerateRequest(prompt=common_pb2.Prompt(chat=chat), sampling={"max_tokens": -1, "stop": [""]})
    with pytest.raises(InvalidRequestError) as refusal:
        task_of(wrong)
    assert [violation.field for violation in refusal.value.violations] == [
        "request_id",
        "generation_id",
        "prompt.chat.messages[0].role",
        "prompt.chat.messages[0].content",
        "sampling.max_tokens",
        "sampling.stop[0]",
    ]


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_seed_becomes_one_that_llamacpp_takes(seed: int) -> None:
    body = json.loads(request_json(task_of(request(seed=seed))))
    assert 0 <= body["seed"] < 0xFFFF_FFFF


class WorkLog:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        self.calls.append((prefill_tokens, decode_tokens, context_tokens))


def progress(processed: int, cache: int = 10) -> dict[str, Any]:
    return {"choices": [], "prompt_progress": {"total": 300, "cache": cache, "processed": processed}}


def piece(content: str | None, predicted: int) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content}}], "timings": {"predicted_n": predicted}}


def test_chunks_become_events_and_work() -> None:
    meter = WorkLog()
    reader = ChunkReader(meter, 1024)
    timings = {"cache_n": 10, "prompt_ms": 500.0, "predicted_ms": 40.0, "predicted_n": 4}
    usage = {"prompt_tokens": 300, "completion_tokens": 4}
    chunks = [
        *(progress(10), progress(138), progress(300)),
        *(piece("a", 1), piece("日", 3)),  # the second token was half a character
        {"choices": [{"finish_reason": "stop", "delta": {}}]},
        {"choices": [], "usage": usage, "timings": timings},
    ]
    events = [event for chunk in chunks for event in reader.read(chunk)]
    assert meter.calls == [(128, 0, 138), (162, 0, 300), (0, 1, 301), (0, 2, 303), (0, 1, 304)]
    assert events == [
        TextDelta("a", 1),
        TextDelta("日", 2),
        TextDelta("", 1),
        EngineFinished(FinishReason.STOP, 300, 10, 4, 0.5, 0.04),
    ]


def test_errors_of_llamacpp_are_told_apart() -> None:
    reader = ChunkReader(WorkLog(), 1024)
    too_long = {"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 2000, "message": "long"}}
    with pytest.raises(InvalidRequestError, match="2000 tokens"):
        list(reader.read(too_long))
    with pytest.raises(EngineError, match="out of memory"):
        list(reader.read({"error": {"type": "server_error", "message": "out of memory"}}))
