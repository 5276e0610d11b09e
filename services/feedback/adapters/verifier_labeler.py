"""Judges an answer by a rule: a regular expression or a JSON Schema.

Rules come from clients, so each has a time limit, and nothing is ever fetched.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any, NoReturn

import regex

from services.common.labeling_limits import MAX_REGEX_BYTES, MAX_SCHEMA_BYTES
from services.feedback.ports import NotJudgedError

RULE_SECONDS = 0.25


def matches_regex(pattern: str, answer: str) -> float:
    """1 if the answer contains a match, else 0. Raises NotJudgedError for a bad or too slow pattern."""
    _check_size("regex", pattern, MAX_REGEX_BYTES)
    try:
        # `concurrent` lets other threads run meanwhile.
        found = regex.search(pattern, answer, timeout=RULE_SECONDS, concurrent=True)
    except regex.error as error:
        raise NotJudgedError(f"not a regular expression: {error}") from None
    except TimeoutError:
        raise NotJudgedError(f"the regular expression took longer than {RULE_SECONDS} s") from None
    return float(found is not None)


def matches_schema(schema: str, answer: str) -> float:
    """1 if the answer is JSON that the JSON Schema (2020-12 by default) accepts, else 0.

    Raises NotJudgedError for a bad or too slow schema, one with references to elsewhere, and one with
    `patternProperties`, whose matching has no time limit.
    """
    _check_size("json_schema", schema, MAX_SCHEMA_BYTES)
    try:
        rule = _parse_json(schema)
    except (ValueError, RecursionError):
        raise NotJudgedError("json_schema is not JSON") from None
    return float(_is_valid(rule, answer))


def _is_valid(rule: Any, answer: str) -> bool:
    # The import takes a tenth of a second and some MB, which only users of schemas should pay.
    from jsonschema import exceptions, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    base = validators.validator_for(rule, default=validators.Draft202012Validator)
    deadline = time.monotonic() + RULE_SECONDS
    try:
        base.check_schema(rule)
        _refuse_pattern_properties(rule)
        try:
            instance = _parse_json(answer)
        except (ValueError, RecursionError):
            return False
        limited = validators.extend(base, _limited_keywords(base.VALIDATORS, deadline))  # type: ignore[no-untyped-call]
        return bool(limited(rule, registry=Registry()).is_valid(instance))
    except exceptions.SchemaError as error:
        raise NotJudgedError(f"not a JSON Schema: at {error.json_path}") from None
    except Unresolvable as error:
        raise NotJudgedError(f"json_schema refers to {error.ref!r}, which it does not hold") from None
    except (RecursionError, TimeoutError, regex.error, OverflowError) as error:
        raise NotJudgedError(f"json_schema cannot be applied: {type(error).__name__}") from None


def _limited_keywords(keywords: Any, deadline: float) -> dict[str, Callable[..., Iterator[Any]]]:
    """Keywords whose cost is not bounded by the size of schema and answer, with a deadline."""

    def follow(keyword: str) -> Callable[..., Iterator[Any]]:
        def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            if time.monotonic() > deadline:
                raise TimeoutError
            yield from keywords[keyword](validator, value, instance, schema) or ()

        return check

    limited = {key: follow(key) for key in ("$ref", "$dynamicRef", "$recursiveRef") if key in keywords}
    return {**limited, "pattern": _pattern}


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not regex.search(
        pattern, instance, timeout=RULE_SECONDS, concurrent=True
    ):
        yield ValidationError("does not match the pattern")


def _refuse_pattern_properties(rule: Any) -> None:
    if isinstance(rule, dict):
        if isinstance(rule.get("patternProperties"), dict):
            raise NotJudgedError("json_schema has patternProperties, which is not supported")
        for value in rule.values():
            _refuse_pattern_properties(value)
    elif isinstance(rule, list):
        for value in rule:
            _refuse_pattern_properties(value)


def _parse_json(text: str) -> Any:
    """Strict JSON: NaN and infinities are refused."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def _check_size(field: str, rule: str, limit_bytes: int) -> None:
    if not 0 < len(rule.encode()) <= limit_bytes:
        raise NotJudgedError(f"{field} has {len(rule.encode())} bytes, allowed: 1 to {limit_bytes}")


class VerifierLabeler:
    """Judges by a rule: `check(rule, answer)` is `matches_regex` or `matches_schema`."""

    source = "verifier"

    def __init__(self, check: Callable[[str, str], float], rule: str, executor: Executor) -> None:
        self._check, self._rule, self._executor = check, rule, executor

    async def satisfaction(self, prompt: str, answer: str) -> float:
        """See `ports.Labeler`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._check, self._rule, answer)
