"""Which sizes of requests a live profile times, in which order, and what that costs at most."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

Cell = tuple[int, int]
"""Wanted prompt and output tokens of a request."""

_SAME_LENGTH = 0.02


@dataclass(frozen=True, slots=True)
class Grid:
    """Every prompt length with every output length, each `repeats` times.

    Attributes:
        prompt_tokens: wanted lengths, >= 1, each once.
        output_tokens: wanted lengths, >= 1, each once; 1 measures the time to the first token itself.
        repeats: of every cell, >= 1.

    """

    prompt_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    repeats: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All sizes."""
        return tuple((prompt, output) for prompt in self.prompt_tokens for output in self.output_tokens)

    @property
    def requests(self) -> int:
        """How many there are to send."""
        return len(self.cells) * self.repeats

    @property
    def tokens(self) -> Cell:
        """Prompt and output tokens of all of them together."""
        prompts = self.repeats * len(self.output_tokens) * sum(self.prompt_tokens)
        return prompts, self.repeats * len(self.prompt_tokens) * sum(self.output_tokens)

    def rounds(self, done: dict[Cell, int], seed: int) -> Iterator[Cell]:
        """The cells still to measure, `done` of each left out.

        Round by round, so that a profile that is cut short has something of every cell, and each in an
        order of its own, so that a machine that slows down meanwhile does not look like longer prompts.
        """
        order = random.Random(seed)
        for number in range(self.repeats):
            cells = [cell for cell in self.cells if done.get(cell, 0) <= number]
            order.shuffle(cells)
            yield from cells


def same_length(known: list[int], measured: int) -> int:
    """The first known length within 2 % (or 2 tokens) of the measured one, else that itself.

    Repeats of one wanted length may differ by a token, and must still count as repeats.
    """
    near = (length for length in known if abs(length - measured) <= max(2.0, _SAME_LENGTH * measured))
    return next(near, measured)
