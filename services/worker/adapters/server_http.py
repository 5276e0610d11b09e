"""Plain HTTP to servers of all kinds: one connection pool, and named errors for all that goes wrong."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx2

from services.core.errors import (
    BrokenStreamError,
    EngineError,
    EngineUnreachableError,
    FieldViolation,
    InvalidRequestError,
    MessPlusError,
    ServerBusyError,
    ServerDeniedError,
    WrongServerError,
)

READ_SECONDS = 10.0
DEFAULT_RETRY_SECONDS = 1.0
_SHOWN_CHARACTERS = 300
_ECHO_CHARACTERS = 24
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_INVALID = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)


def http_client(connect_timeout_seconds: float) -> httpx2.AsyncClient:
    """A client without limits on reading (the engine sets them) or on connections (the batch size does)."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=connect_timeout_seconds), limits=limits)


async def ask(
    http: httpx2.AsyncClient,
    url: str,
    path: str,
    kind: str,
    headers: Mapping[str, str],
    body: Any = None,
    texts: Sequence[str] = (),
) -> dict[str, Any]:
    """The JSON object that a server of this kind answers; with a body it is a POST.

    `texts` is what the body holds of a prompt, which no error repeats.
    Raises EngineUnreachableError, WrongServerError, or what the status means.
    """
    method = "GET" if body is None else "POST"
    limit = httpx2.Timeout(READ_SECONDS, connect=http.timeout.connect)
    try:
        response = await http.request(method, url + path, json=body, headers=headers, timeout=limit)
    except httpx2.RemoteProtocolError:
        raise WrongServerError(url, kind, "it speaks no HTTP") from None
    except httpx2.HTTPError as error:
        raise EngineUnreachableError(url, str(error) or type(error).__name__) from None
    if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        raise WrongServerError(url, kind, f"{method} {path} answered {response.status_code}")
    if response.is_error:
        raise status_error(url, response.status_code, response.headers, response.text, texts)
    return _json_object(response, url, kind, f"{method} {path}")


def _json_object(response: httpx2.Response, url: str, kind: str, asked: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        found = response.headers.get("content-type", "no content type")
        raise WrongServerError(url, kind, f"{asked} answered no JSON object but {found}")
    return answer


def status_error(
    url: str, status: int, headers: Mapping[str, str], message: str, texts: Sequence[str] = ()
) -> MessPlusError:
    """What an error status means; `texts` is what the prompt holds, and is never repeated."""
    if status in _DENIED:
        return ServerDeniedError(url, status)
    if status in _BUSY:
        return ServerBusyError(url, status, retry_after_seconds(headers))
    said = shown(message, texts)
    if status in _INVALID:
        return InvalidRequestError([FieldViolation("prompt", f"refused by the server ({status}): {said}")])
    return EngineError(f"{url} answered {status}: {said}")


def transport_error(url: str, error: httpx2.HTTPError) -> EngineError:
    """What a failure of the connection means."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return EngineUnreachableError(url, reason)
    return BrokenStreamError(url, reason)


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """When to come back, from Retry-After in seconds or as a date; 1 s where it is missing or no sense."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return DEFAULT_RETRY_SECONDS
    return max(0.0, seconds) if math.isfinite(seconds) else DEFAULT_RETRY_SECONDS


def shown(message: str, texts: Sequence[str]) -> str:
    """A server's message as far as it may go into logs and events: without the prompt, and short."""
    if any(text[:_ECHO_CHARACTERS] in message for text in texts if text):
        return "(its message repeats the prompt and is left out)"
    return message[:_SHOWN_CHARACTERS]
