"""Everything that can go wrong on purpose, in one tree.

    MessPlusError
    ├── InvalidRequestError     a field of a request is wrong
    ├── NotFoundError           the named thing does not exist
    ├── NoEligibleModelError    no model of the zoo can serve the request
    ├── OverloadedError         a bounded queue is full
    ├── WorkerFailedError       a generation broke
    ├── EngineError             an engine broke, or the server behind it
    │   ├── EngineUnreachableError  nothing answers at its URL
    │   ├── WrongServerError        another kind of server answers there
    │   ├── UnknownServerModelError the server does not have the model
    │   ├── ServerDeniedError       the server refuses the key
    │   ├── ServerBusyError         the server has no room now (429, 503)
    │   ├── BrokenStreamError       an answer ended early, or is not understood
    │   └── EngineTimeoutError      no token came in time
    ├── StateUnavailableError   Redis is away
    ├── ConfigError             a configuration file or variable is wrong
    ├── InvalidSnapshotError    learned state failed its checks
    ├── FencedOutError          another learner took over
    └── ModelStoreError         weights could not be fetched or verified

`services.common.errors` maps each to one gRPC status.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class MessPlusError(Exception):
    """Root of every error that this project raises."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path and what is wrong, with the value and what is allowed."""

    field: str
    description: str


class InvalidRequestError(MessPlusError):
    """One or more fields of a request are wrong."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations))


class NotFoundError(MessPlusError):
    """The named thing does not exist, or no longer."""

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        self.kind, self.name = kind, name
        super().__init__(f"{kind} {name!r} not found" + (f": {hint}" if hint else ""))


class NoEligibleModelError(MessPlusError):
    """No model can serve the request; `reasons` maps each model id to why not."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("no eligible model: " + "; ".join(f"{m}: {why}" for m, why in self.reasons.items()))


class OverloadedError(MessPlusError):
    """A bounded queue is full; come back after `retry_after_seconds`."""

    def __init__(self, what: str, retry_after_seconds: float) -> None:
        self.what, self.retry_after_seconds = what, retry_after_seconds
        super().__init__(f"{what} is full, retry after {retry_after_seconds:g} s")


class EngineError(MessPlusError):
    """An engine broke while it loaded or worked on a generation."""


class EngineUnreachableError(EngineError):
    """Nothing answers at an engine's URL."""

    def __init__(self, url: str, reason: str) -> None:
        remedy = "is the server up, and its address right in server.urls?"
        super().__init__(f"nothing answers at {url} ({reason}): {remedy}")


class WrongServerError(EngineError):
    """Something answers at an engine's URL, but not a server of the engine's kind."""

    def __init__(self, url: str, wanted: str, found: str) -> None:
        remedy = "name the right engine, or its address in server.urls"
        super().__init__(f"{url} is no {wanted} ({found}): {remedy}")


class UnknownServerModelError(EngineError):
    """A server does not have the model that the zoo names; `known` are those that it has."""

    def __init__(self, url: str, model: str, known: Sequence[str]) -> None:
        self.known = tuple(known)
        has = ", ".join(known) or "none"
        super().__init__(f"{url} does not have the model {model!r}: set server.model to one it has ({has})")


class ServerDeniedError(EngineError):
    """A server refuses the key, or the lack of one."""

    def __init__(self, url: str, status: int) -> None:
        remedy = "server.api_key_env must name the variable that holds its key"
        super().__init__(f"{url} refuses access ({status}): {remedy}")


class ServerBusyError(EngineError):
    """A server has no room now; come back after `retry_after_seconds`."""

    def __init__(self, url: str, status: int, retry_after_seconds: float) -> None:
        self.url, self.retry_after_seconds = url, retry_after_seconds
        super().__init__(f"{url} is busy ({status}): retry after {retry_after_seconds:g} s, or add replicas")


class BrokenStreamError(EngineError):
    """A server's answer ended before its end, or is not understood."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the answer of {url} broke off: {reason}; the server's log says more")


class EngineTimeoutError(EngineError):
    """A server sent nothing for longer than the zoo file allows."""

    def __init__(self, url: str, what: str, seconds: float, key: str) -> None:
        super().__init__(f"{url} sent no {what} within {seconds:g} s: it is stuck, or {key} is too short")


class WorkerFailedError(MessPlusError):
    """A generation broke after `tokens_sent` tokens; `cause` is the engine's error where it is known."""

    def __init__(
        self, model_id: str, tokens_sent: int, reason: str, cause: EngineError | None = None
    ) -> None:
        self.model_id, self.tokens_sent, self.reason, self.cause = model_id, tokens_sent, reason, cause
        super().__init__(f"model {model_id!r} failed after {tokens_sent} tokens: {reason}")


class StateUnavailableError(MessPlusError):
    """Redis cannot be reached, so the call could not be recorded.

    `recorded` says how many items of a batch were recorded for sure, None where there was no batch.
    """

    def __init__(self, message: str, recorded: int | None = None) -> None:
        self.recorded = recorded
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One wrong setting: where it stands, its key, its value and what is allowed."""

    location: str
    key: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.location}: {self.key} = {self.value}: {self.allowed}"


class ConfigError(MessPlusError):
    """A configuration is wrong; all problems at once."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidSnapshotError(MessPlusError):
    """Learned state failed its checks (shape, finiteness, range) and must not be used."""


class FencedOutError(MessPlusError):
    """Another learner holds a newer fencing token; this one must stop writing."""

    def __init__(self, fence: int) -> None:
        self.fence = fence
        super().__init__(f"fencing token {fence} is no longer the newest")


class ModelStoreError(MessPlusError):
    """Weights could not be fetched, or are not what their sha256 promises."""
