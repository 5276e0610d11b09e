"""A worker's step report from the wire: checked and turned into plain values.

Problems of the header, of the lists and of the counts in them are told in this order, all of a kind at once.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb

from services.core.steps import StepWork
from services.energy.reports import ReportedGeneration, ReportedStep, WorkerReport
from services.energy.validation import MAX_ID_CHARACTERS, Problem, id_problems, refuse

__all__ = ["parse_report"]

MAX_STEPS = 4096
MAX_WORK = 1024
MAX_GENERATIONS = 8192
MAX_DEVICES = 16
_COUNTS = ("prefill_tokens", "decode_tokens", "context_tokens")
_TIERS = {
    common_pb2.STEP_TIER_ENGINE_STEPS: "A",
    common_pb2.STEP_TIER_TOKEN_TIMES: "B",
    common_pb2.STEP_TIER_REQUEST_TIMES: "C",
    common_pb2.STEP_TIER_NONE: "D",
}


def parse_report(message: pb.ReportStepsRequest) -> WorkerReport:
    """A report as plain values. Raises InvalidRequestError."""
    refuse(_header_problems(message))
    generations = _generations(message.generations)
    refuse(chain(_generation_problems(generations), _step_problems(message)))
    steps = _steps(message.steps, [each.generation_id for each in generations])
    refuse(_negative_counts(steps))
    return WorkerReport(
        worker_id=message.worker_id,
        model_id=message.model_id,
        boot_id=message.boot_id,
        monotonic_nanoseconds=message.monotonic_nanoseconds,
        cpu_seconds=message.cpu_seconds,
        generations=generations,
        steps=steps,
        tier=_TIERS[message.tier],
        device_ids=tuple(message.device_ids),
        warming_up=message.warming_up,
    )


def _generations(told: Sequence[pb.ReportedGeneration]) -> tuple[ReportedGeneration, ...]:
    return tuple(
        [
            ReportedGeneration(each.request_id, each.generation_id, each.traceparent, each.finished)
            for each in told
        ]
    )


def _steps(told: Sequence[pb.EngineStep], generation_ids: Sequence[str]) -> tuple[ReportedStep, ...]:
    """Steps whose lists fit together; those that served the same generations share one tuple of ids."""
    steps, active = [], None
    for step in told:
        if step.generations != active:
            active = step.generations
            ids = [generation_ids[place] for place in active]
            order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=int)
            names = tuple(sorted(ids))
        counts = np.array([step.prefill_tokens, step.decode_tokens, step.context_tokens], dtype=float)
        work = StepWork(names, counts.T[order])
        steps.append(ReportedStep(step.start_nanoseconds, step.end_nanoseconds, work))
    return tuple(steps)


def _header_problems(message: pb.ReportStepsRequest) -> Iterator[Problem]:
    yield from id_problems("worker_id", message.worker_id)
    yield from id_problems("model_id", message.model_id)
    if len(message.boot_id) > MAX_ID_CHARACTERS:
        yield "boot_id", f"has {len(message.boot_id)} characters, at most {MAX_ID_CHARACTERS}"
    yield from _negative("monotonic_nanoseconds", message.monotonic_nanoseconds)
    if not (math.isfinite(message.cpu_seconds) and 0 <= message.cpu_seconds < 1e9):
        yield "cpu_seconds", f"is {message.cpu_seconds}, must be a finite number from 0 to 1e9"
    if message.tier not in _TIERS:
        yield "tier", f"is {message.tier}, must say how finely the worker reports"
    yield from _repeated("device_ids", message.device_ids)
    yield from _too_many("device_ids", message.device_ids, MAX_DEVICES)
    yield from _too_many("generations", message.generations, MAX_GENERATIONS)
    yield from _too_many("steps", message.steps, MAX_STEPS)


def _generation_problems(generations: Sequence[ReportedGeneration]) -> Iterator[Problem]:
    yield from _repeated("generations.generation_id", [each.generation_id for each in generations])
    texts = ("request_id", 1), ("generation_id", 1), ("traceparent", 0)
    for (name, least), column in zip(texts, zip(*generations, strict=True), strict=False):
        lengths = [*map(len, column)]
        if not least <= min(lengths) <= max(lengths) <= MAX_ID_CHARACTERS:
            place = next(i for i, length in enumerate(lengths) if not least <= length <= MAX_ID_CHARACTERS)
            said = f"has {lengths[place]} characters, must have {least} to {MAX_ID_CHARACTERS}"
            yield f"generations[{place}].{name}", said


def _step_problems(message: pb.ReportStepsRequest) -> Iterator[Problem]:
    """Steps stand in the order of their end, none ends after the report, and their lists fit together."""
    steps, generations = message.steps, len(message.generations)
    active: Sequence[int] = ()
    last_end, is_sequence = 0, True
    for i, step in enumerate(steps):
        start, end = step.start_nanoseconds, step.end_nanoseconds
        if not 0 <= start < end <= message.monotonic_nanoseconds or end < last_end:
            yield from _interval_problems(f"steps[{i}]", step, message.monotonic_nanoseconds, last_end)
        is_sequence, last_end = is_sequence and last_end <= start, max(last_end, end)
        if step.generations != active:
            active = step.generations
            yield from _active_problems(f"steps[{i}].generations", active, generations)
        for name in _COUNTS:
            if (entries := len(getattr(step, name))) != len(active):
                yield (
                    f"steps[{i}].{name}",
                    f"has {entries} entries, must have one for each of {len(active)} active",
                )
    if not is_sequence:
        yield from _overlaps(steps)


def _interval_problems(
    path: str, step: pb.EngineStep, reported_nanoseconds: int, last_end: int
) -> Iterator[Problem]:
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


def _active_problems(path: str, active: Sequence[int], generations: int) -> Iterator[Problem]:
    yield from _too_many(path, active, MAX_WORK)
    yield from _repeated(path, active)
    if active and not 0 <= min(active) <= max(active) < generations:
        yield path, f"must be places in the report's {generations} generations"


def _overlaps(steps: Sequence[pb.EngineStep]) -> Iterator[Problem]:
    """No generation is in two steps at once."""
    ends: dict[int, int] = {}
    for i, step in enumerate(steps):
        for place in step.generations:
            if step.start_nanoseconds < ends.get(place, 0):
                yield (
                    f"steps[{i}].generations",
                    f"has {place}, whose last step ends at {ends[place]}, after this one starts at "
                    f"{step.start_nanoseconds}",
                )
            ends[place] = max(step.end_nanoseconds, ends.get(place, 0))


def _negative_counts(steps: Sequence[ReportedStep]) -> Iterator[Problem]:
    for i, step in enumerate(steps):
        if step.work and step.work.tokens.min() < 0:
            for name, tokens in zip(_COUNTS, step.work.tokens.T, strict=True):
                yield from _negative(f"steps[{i}].{name}", int(tokens.min()))


def _negative(path: str, value: int) -> Iterator[Problem]:
    if value < 0:
        yield path, f"is {value}, must be >= 0"


def _too_many(path: str, values: Sequence[object], limit: int) -> Iterator[Problem]:
    if len(values) > limit:
        yield path, f"has {len(values)} entries, at most {limit}"


def _repeated(path: str, values: Sequence[object]) -> Iterator[Problem]:
    if len(set(values)) < len(values):
        yield path, "must not repeat a value"
