"""What was seen of one answered request, as far as planning needs it."""

from dataclasses import dataclass


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
