"""What the planner measures: anything that answers a prompt and says how many tokens that took."""

from dataclasses import dataclass
from typing import Protocol

from cli.failure import CommandError


class EndpointError(CommandError):
    """An endpoint did not answer a request, or not in a way that can be measured."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Tokens that arrived together, >= 1, at `seconds` of the monotonic clock."""

    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answered request; times are seconds of the monotonic clock.

    Attributes:
        request_id: under which its joules are found.
        sent_seconds: when it was sent.
        ended_seconds: when its answer was complete.
        prompt_tokens: as the endpoint counts them, those that it had in its cache left out, >= 0.
        output_tokens: as the endpoint counts them.
        arrivals: its tokens, by rising time.

    """

    request_id: str
    sent_seconds: float
    ended_seconds: float
    prompt_tokens: int
    output_tokens: int
    arrivals: tuple[Arrival, ...]

    @property
    def seconds(self) -> float:
        """From the request to the end of its answer."""
        return self.ended_seconds - self.sent_seconds


class Endpoint(Protocol):
    """Answers prompts."""

    async def answer(self, prompt: str, max_tokens: int) -> Reply:
        """Has `prompt` answered with up to `max_tokens` tokens. Raises EndpointError."""

    async def close(self) -> None:
        """Closes its connections."""
