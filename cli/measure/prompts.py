"""Prompts of a wanted length that no cache has seen and that models answer at length."""

import random
from dataclasses import dataclass

from cli.measure.endpoint import Endpoint, EndpointError

_WORDS = (
    "time year people way day man thing woman life child world school state family student group country "
    "problem hand part place case week company system program question work number night point home water "
    "room mother area money story fact month lot right study book eye job word business issue side kind head "
    "house service friend father power hour game line end member law car city name team minute idea body "
    "back parent face others level office door health person art war history party result change morning "
    "reason research girl guy moment air teacher force"
)
"""Common words, which most tokenizers know as one token each."""
_GO_ON = "\nContinue this list of words without end:"
_LEAST_WORDS = 4
_PROBES = (16, 144)
PROBE_REQUESTS = 1 + len(_PROBES)
"""What `token_scale` sends."""


@dataclass(frozen=True, slots=True)
class TokenScale:
    """Prompt tokens = base + per_word * words, as an endpoint counts them."""

    base: float
    per_word: float

    def words(self, prompt_tokens: int) -> int:
        """Words for a prompt of about that many tokens; 4 at least."""
        return max(_LEAST_WORDS, round((prompt_tokens - self.base) / self.per_word))


class Prompts:
    """Draws prompts: each starts with other words, so no cached prefix fakes a fast one."""

    def __init__(self, seed: int) -> None:
        self._random, self._words = random.Random(seed), _WORDS.split()

    def of_words(self, count: int) -> str:
        """A prompt of `count` random words and the wish for more of them."""
        return " ".join(self._random.choices(self._words, k=count)) + _GO_ON


async def token_scale(endpoint: Endpoint, prompts: Prompts) -> TokenScale:
    """Asks an endpoint how it counts, by two prompts. Raises EndpointError where it does not.

    One goes before them: from the second on the chat template is in the cache and no longer counted.
    """
    await endpoint.answer(prompts.of_words(_PROBES[0]), max_tokens=1)
    few, many = [
        (await endpoint.answer(prompts.of_words(count), max_tokens=1)).prompt_tokens for count in _PROBES
    ]
    if many <= few:
        counted = f"{few} tokens for {_PROBES[0]} words and {many} for {_PROBES[1]}"
        raise EndpointError(f"the endpoint counts {counted}: its prompt tokens cannot be used")
    per_word = (many - few) / (_PROBES[1] - _PROBES[0])
    return TokenScale(few - _PROBES[0] * per_word, per_word)
