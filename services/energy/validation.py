"""Checks what callers send; every problem at once, as field violations."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from google.protobuf.duration_pb2 import Duration
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb
from numpy.typing import NDArray

from services.core.attribution import StepWork
from services.core.errors import FieldViolation, InvalidRequestError
from services.energy.reports import ReportedGeneration, ReportedStep, WorkerReport

MAX_ID_CHARACTERS = 256
MAX_STEPS = 4096
MAX_WORK = 1024
MAX_GENERATIONS = 8192
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
    generation_ids = [each.generation_id for each in message.generations]
    return WorkerReport(
        worker_id=message.worker_id,
        model_id=message.model_id,
        boot_id=message.boot_id,
        monotonic_nanoseconds=message.monotonic_nanoseconds,
        cpu_seconds=message.cpu_seconds,
        generations=tuple(map(_generation, message.generations)),
        steps=tuple([_step(step, generation_ids) for step in message.steps]),
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
    yield from _generation_problems(message.generations)
    yield from _too_many("steps", message.steps, MAX_STEPS)
    ends, last_end = np.zeros(len(message.generations), dtype=np.int64), 0
    for i, step in enumerate(message.steps):
        path = f"steps[{i}]"
        yield from _interval_problems(path, step, message.monotonic_nanoseconds, last_end)
        yield from _work_problems(path, step, ends)
        last_end = max(last_end, step.end_nanoseconds)


def _generation_problems(generations: Sequence[pb.ReportedGeneration]) -> Iterator[_Problem]:
    yield from _too_many("generations", generations, MAX_GENERATIONS)
    yield from _repeated("generations.generation_id", [each.generation_id for each in generations])
    for name, least in (("request_id", 1), ("generation_id", 1), ("traceparent", 0)):
        lengths = [len(getattr(each, name)) for each in generations]
        if lengths and not least <= min(lengths) <= max(lengths) <= MAX_ID_CHARACTERS:
            place = next(i for i, length in enumerate(lengths) if not least <= length <= MAX_ID_CHARACTERS)
            said = f"has {lengths[place]} characters, must have {least} to {MAX_ID_CHARACTERS}"
            yield f"generations[{place}].{name}", said


def _interval_problems(
    path: str, step: pb.EngineStep, reported_nanoseconds: int, last_end: int
) -> Iterator[_Problem]:
    """Steps stand in the order of their end, and none ends after the report."""
    yield from _negative(f"{path}.start_nanoseconds", step.start_nanoseconds)
    if not step.start_nanoseconds < step.end_nanoseconds <= reported_nanoseconds:
        yield (
            f"{path}.end_nanoseconds",
            f"is {step.end_nanoseconds}, must be after the start at {step.start_nanoseconds} and "
            f"not after the report at {reported_nanoseconds}",
        )
    if step.end_nanoseconds < last_end:
        yield (
            f"{path}.end_nanoseconds",
            f"is {step.end_nanoseconds}, out of order: the step before ends at {last_end}",
        )


def _work_problems(path: str, step: pb.EngineStep, ends: NDArray[np.int64]) -> Iterator[_Problem]:
    """The lists fit together, and no generation is in two steps at once.

    `ends` (generations,) are the ends of their last steps so far, ns, and go on with this step's.
    """
    active = step.generations[:]
    yield from _too_many(f"{path}.generations", active, MAX_WORK)
    yield from _repeated(f"{path}.generations", active)
    for name in ("prefill_tokens", "decode_tokens", "context_tokens"):
        if len(tokens := getattr(step, name)) != len(active):
            yield (
                f"{path}.{name}",
                f"has {len(tokens)} entries, must have one for each of {len(active)} active",
            )
        elif active and (least := min(tokens)) < 0:
            yield f"{path}.{name}", f"has {least}, must be >= 0"
    if not active:
        return
    if not 0 <= min(active) <= max(active) < len(ends):
        yield f"{path}.generations", f"must be places in the report's {len(ends)} generations"
        return
    last_ends = ends[active]
    if step.start_nanoseconds < last_ends.max():
        place = active[int(last_ends.argmax())]
        yield (
            f"{path}.generations",
            f"has {place}, whose last step ends at {ends[place]}, after this one starts at "
            f"{step.start_nanoseconds}",
        )
    ends[active] = np.maximum(last_ends, step.end_nanoseconds)


def _id_problems(path: str, value: str) -> Iterator[_Problem]:
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        yield path, f"has {len(value)} characters, must have 1 to {MAX_ID_CHARACTERS}"


def _negative(path: str, value: int) -> Iterator[_Problem]:
    if value < 0:
        yield path, f"is {value}, must be >= 0"


def _too_many(path: str, values: Sequence[object], limit: int) -> Iterator[_Problem]:
    if len(values) > limit:
        yield path, f"has {len(values)} entries, at most {limit}"


def _repeated(path: str, values: Sequence[object]) -> Iterator[_Problem]:
    if len(set(values)) < len(values):
        yield path, "must not repeat a value"


def _generation(each: pb.ReportedGeneration) -> ReportedGeneration:
    return ReportedGeneration(each.request_id, each.generation_id, each.traceparent, each.finished)


def _step(step: pb.EngineStep, generation_ids: Sequence[str]) -> ReportedStep:
    tokens = [step.prefill_tokens, step.decode_tokens, step.context_tokens]
    work = StepWork(
        tuple([generation_ids[place] for place in step.generations]), np.array(tokens, dtype=float).T
    )
    return ReportedStep(step.start_nanoseconds, step.end_nanoseconds, work)
