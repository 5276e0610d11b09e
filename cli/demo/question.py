"""What a kind of prompt produces: a question with the one right answer and how to compare with it."""

from typing import Literal, NamedTuple

Metric = Literal["exact", "numeric", "contains"]
"""How an answer is compared: `exact` (casefolded, whitespace and end punctuation normalised), `numeric`
(the answer's last number equals the reference) or `contains` (the reference occurs as whole words)."""


class Question(NamedTuple):
    """A question without the closing instruction."""

    text: str
    """What is asked."""
    reference: str
    """The right answer."""
    metric: Metric
    """How an answer is compared with the reference."""
