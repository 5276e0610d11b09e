"""Checks what callers send; every problem at once, as field violations."""

import math
from collections.abc import Iterator, Sequence

from google.protobuf.duration_pb2 import Duration
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb

from services.core.attribution import GenerationWork
from services.core.errors import FieldViolation, InvalidRequestError
from services.energy.reports import ReportedStep, ReportedWork, WorkerReport

MAX_ID_CHARACTERS = 256
MAX_STEPS = 4096
MAX_WORK = 1024
MAX_DEVICES = 16
MAX_VIOLATIONS = 20
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.1, 60.0
_DEFAULT_INTERVAL_SECONDS = 1.0
_TIERS = {
    common_pb2.STEP_TIER_ENGINE_STEPS: "A",
    common_pb2.STEP_TIER_TOKEN_TIMES: "B",
    common_pb2.STEP_TIER_REQUEST_TIMES: "C",
    common_pb2.STEP_TIER_NONE: "D",
}
_Problem = tuple[str, str]


def parse_report(message: pb.ReportStepsRequest) -> WorkerReport:
    """A report as plain values. Raises InvalidRequestError."""
    _refuse(_report_problems(message))
    return WorkerReport(
        worker_id=message.worker_id,
        model_id=message.model_id,
        boot_id=message.boot_id,
        monotonic_nanoseconds=message.monotonic_nanoseconds,
        cpu_seconds=message.cpu_seconds,
        steps=tuple(map(_step, message.steps)),
        tier=_TIERS[message.tier],
        device_ids=tuple(message.device_ids),
        warming_up=message.warming_up,
    )


def parse_request_id(request_id: str) -> str:
    """A request id as it was given. Raises InvalidRequestError."""
    _refuse(_id_problems("request_id", request_id))
    return request_id


def parse_interval(interval: Duration | None) -> float:
    """Seconds between two messages of a power stream. Raises InvalidRequestError."""
    if interval is None:
        return _DEFAULT_INTERVAL_SECONDS
    seconds = interval.seconds + interval.nanos * 1e-9
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        _refuse(iter([("interval", f"is {seconds:g} s, must be from 0.1 s to 60 s")]))
    return seconds


def _refuse(problems: Iterator[_Problem]) -> None:
    violations = [
        FieldViolation(*problem) for problem, _ in zip(problems, range(MAX_VIOLATIONS), strict=False)
    ]
    if violations:
        raise InvalidRequestError(violations)


def _report_problems(message: pb.ReportStepsRequest) -> Iterator[_Problem]:
    yield from _id_problems("worker_id", message.worker_id)
    yield from _id_problems("model_id", message.model_id)
    if len(message.boot_id) > MAX_ID_CHARACTERS:
        yield "boot_id", f"has {len(message.boot_id)} characters, at most {MAX_ID_CHARACTERS}"
    yield from _negative("monotonic_nanoseconds", message.monotonic_nanoseconds)
    if not (math.isfinite(message.cpu_seconds) and 0 <= message.cpu_seconds < 1e9):
        yield "cpu_seconds", f"is {message.cpu_seconds}, must be a finite number from 0 to 1e9"
    if message.tier not in _TIERS:
        yield "tier", f"is {message.tier}, must say how finely the worker reports"
    yield from _too_many("device_ids", message.device_ids, MAX_DEVICES)
    yield from _repeated("device_ids", message.device_ids)
    yield from _too_many("steps", message.steps, MAX_STEPS)
    for i, step in enumerate(message.steps):
        yield from _step_problems(f"steps[{i}]", step, message.monotonic_nanoseconds)
    yield from _order_problems(message.steps)


def _step_problems(path: str, step: pb.EngineStep, reported_nanoseconds: int) -> Iterator[_Problem]:
    yield from _negative(f"{path}.start_nanoseconds", step.start_nanoseconds)
    if not step.start_nanoseconds < step.end_nanoseconds <= reported_nanoseconds:
        yield (
            f"{path}.end_nanoseconds",
            f"is {step.end_nanoseconds}, must be after the start at {step.start_nanoseconds} and "
            f"not after the report at {reported_nanoseconds}",
        )
    yield from _too_many(f"{path}.work", step.work, MAX_WORK)
    yield from _repeated(f"{path}.work.generation_id", [work.generation_id for work in step.work])
    for i, work in enumerate(step.work):
        inside = f"{path}.work[{i}]"
        yield from _id_problems(f"{inside}.request_id", work.request_id)
        yield from _id_problems(f"{inside}.generation_id", work.generation_id)
        for name in ("prefill_tokens", "decode_tokens", "context_tokens"):
            yield from _negative(f"{inside}.{name}", getattr(work, name))
        if len(work.traceparent) > MAX_ID_CHARACTERS:
            yield (
                f"{inside}.traceparent",
                f"has {len(work.traceparent)} characters, at most {MAX_ID_CHARACTERS}",
            )


def _order_problems(steps: Sequence[pb.EngineStep]) -> Iterator[_Problem]:
    """Steps stand in the order of their end, and no generation is in two of them at once."""
    last_end = 0
    ends: dict[str, int] = {}
    for i, step in enumerate(steps):
        if step.end_nanoseconds < last_end:
            yield (
                f"steps[{i}].end_nanoseconds",
                f"is {step.end_nanoseconds}, out of order: the step before ends at {last_end}",
            )
        last_end = max(last_end, step.end_nanoseconds)
        for j, work in enumerate(step.work):
            end = ends.get(work.generation_id, 0)
            if step.start_nanoseconds < end:
                yield (
                    f"steps[{i}].work[{j}].generation_id",
                    f"is {work.generation_id!r}, whose last step ends at {end}, after this one starts at "
                    f"{step.start_nanoseconds}",
                )
            ends[work.generation_id] = max(end, step.end_nanoseconds)


def _id_problems(path: str, value: str) -> Iterator[_Problem]:
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        yield path, f"has {len(value)} characters, must have 1 to {MAX_ID_CHARACTERS}"


def _negative(path: str, value: int) -> Iterator[_Problem]:
    if value < 0:
        yield path, f"is {value}, must be >= 0"


def _too_many(path: str, values: Sequence[object], limit: int) -> Iterator[_Problem]:
    if len(values) > limit:
        yield path, f"has {len(values)} entries, at most {limit}"


def _repeated(path: str, values: Sequence[str]) -> Iterator[_Problem]:
    if len(set(values)) < len(values):
        yield path, "must not repeat a value"


def _step(step: pb.EngineStep) -> ReportedStep:
    return ReportedStep(step.start_nanoseconds, step.end_nanoseconds, tuple(map(_work, step.work)))


def _work(work: pb.SequenceWork) -> ReportedWork:
    return ReportedWork(
        work.request_id,
        GenerationWork(work.generation_id, work.prefill_tokens, work.decode_tokens, work.context_tokens),
        work.finished,
        work.traceparent,
    )
