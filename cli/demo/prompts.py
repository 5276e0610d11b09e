"""Prompts with answers that can be checked, for the demo: thirteen kinds, mixed equally, from a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cli.demo import number_kinds, word_kinds
from cli.demo.question import Metric, Question

INSTRUCTION = "Answer with only the final answer."
"""How every prompt ends, so that an answer can be compared with its reference."""

KINDS: dict[str, Callable[[Random], Question]] = {
    "arithmetic": number_kinds.arithmetic,
    "units": number_kinds.units,
    "sorting": number_kinds.sorting,
    "letters": number_kinds.letters,
    "comparison": number_kinds.comparison,
    "number-words": number_kinds.number_words,
    "word-problem": number_kinds.word_problem,
    "sequence": number_kinds.sequence,
    "python-output": number_kinds.python_output,
    "sentiment": word_kinds.sentiment,
    "capital": word_kinds.capital,
    "spanish": word_kinds.spanish,
    "opposite": word_kinds.opposite,
}
"""Every kind of prompt and how one of it is drawn."""

_DRAWS_BEFORE_REPEATING = 200


@dataclass(frozen=True, slots=True)
class DemoPrompt:
    """One prompt whose answer can be checked."""

    kind: str
    """A key of `KINDS`."""
    text: str
    """What the model is asked, instruction included."""
    reference: str
    """The right answer."""
    metric: Metric
    """How an answer is compared with the reference."""


def generate_prompts(count: int, seed: int) -> list[DemoPrompt]:
    """Draw `count` (>= 0) prompts, the kinds equally often (within one) and in random order.

    The same count and seed give the same prompts. No text occurs twice up to 5,000 prompts; beyond that a
    kind repeats itself once its space is used up. Raises ValueError for a negative count.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    rng = Random(seed)
    seen: set[str] = set()
    return [_draw(kind, rng, seen) for kind in _mixed_kinds(count, rng)]


def _mixed_kinds(count: int, rng: Random) -> list[str]:
    """Blocks that hold every kind once, each in an order of its own: the mix is even over any stretch."""
    blocks = -(-count // len(KINDS))
    kinds = [kind for _ in range(blocks) for kind in rng.sample(list(KINDS), len(KINDS))]
    return kinds[:count]


def _draw(kind: str, rng: Random, seen: set[str]) -> DemoPrompt:
    for _ in range(_DRAWS_BEFORE_REPEATING):
        question = KINDS[kind](rng)
        if question.text not in seen:
            break
    seen.add(question.text)
    separator = "" if question.text.endswith("\n") else " "
    return DemoPrompt(kind, f"{question.text}{separator}{INSTRUCTION}", question.reference, question.metric)
