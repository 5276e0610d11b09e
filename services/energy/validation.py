"""Checks what callers send; every problem at once, as field violations."""

from collections.abc import Iterable, Iterator

from google.protobuf.duration_pb2 import Duration

from services.core.errors import FieldViolation, InvalidRequestError

MAX_ID_CHARACTERS = 256
MAX_VIOLATIONS = 20
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.1, 60.0
_DEFAULT_INTERVAL_SECONDS = 1.0
Problem = tuple[str, str]
"""A field and what is wrong with it."""


def parse_request_id(request_id: str) -> str:
    """A request id as it was given. Raises InvalidRequestError."""
    refuse(id_problems("request_id", request_id))
    return request_id


def parse_interval(interval: Duration | None) -> float:
    """Seconds between two messages of a power stream. Raises InvalidRequestError."""
    if interval is None:
        return _DEFAULT_INTERVAL_SECONDS
    seconds = interval.seconds + interval.nanos * 1e-9
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        refuse([("interval", f"is {seconds:g} s, must be from 0.1 s to 60 s")])
    return seconds


def refuse(problems: Iterable[Problem]) -> None:
    """Raises InvalidRequestError with the first of them, unless there are none."""
    violations = [
        FieldViolation(*problem) for problem, _ in zip(problems, range(MAX_VIOLATIONS), strict=False)
    ]
    if violations:
        raise InvalidRequestError(violations)


def id_problems(path: str, value: str) -> Iterator[Problem]:
    """What is wrong with an id."""
    if not 1 <= len(value) <= MAX_ID_CHARACTERS:
        yield path, f"has {len(value)} characters, must have 1 to {MAX_ID_CHARACTERS}"
