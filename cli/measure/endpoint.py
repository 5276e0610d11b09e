"""What the planner measures: anything that answers a prompt and says how many tokens that took."""

from typing import Protocol

from cli.failure import CommandError
from planner.replies import Reply


class EndpointError(CommandError):
    """An endpoint did not answer a request, or not in a way that can be measured."""


class Endpoint(Protocol):
    """Answers prompts."""

    async def answer(self, prompt: str, max_tokens: int) -> Reply:
        """Has `prompt` answered with up to `max_tokens` tokens. Raises EndpointError."""

    async def close(self) -> None:
        """Closes its connections."""
