"""Compares an answer with a known right one.

Metrics, each in [0, 1]: exact (text), numeric (last number), contains (whole words), bleu1 (unigram BLEU of
Papineni et al. 2002 by sacrebleu), rouge1 (F1 of Lin 2004 by rouge-score).
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from decimal import Decimal

from services.feedback.ports import NotJudgedError

_QUOTES = "\"'`“”‘’«»"
_END_PUNCTUATION = ".,;:!?。"
# A sign counts only where it does not join two numbers, as in "3-4".
_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:[$€£¥]\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\w)\.\d+")
_MAX_NUMBER_CHARACTERS = 200


def normalised(text: str) -> str:
    """Text without what writers may do as they like: case, white space, outer quotes, end punctuation."""
    collapsed = " ".join(text.casefold().split())
    while (stripped := collapsed.strip(_QUOTES).rstrip(_END_PUNCTUATION).strip()) != collapsed:
        collapsed = stripped
    return collapsed


def last_number(text: str) -> Decimal | None:
    """The last number in a text; thousands separators, currency and percent signs do not matter."""
    found = [match for match in _NUMBER.findall(text) if len(match) <= _MAX_NUMBER_CHARACTERS]
    if not found:
        return None
    return Decimal(re.sub(r"[^\d.\-−]", "", found[-1]).replace("−", "-"))


def exact(reference: str, answer: str) -> float:
    """1 if both are the same after normalisation, else 0."""
    return float(normalised(reference) == normalised(answer))


def numeric(reference: str, answer: str) -> float:
    """1 if the answer's last number equals the reference's, else 0. Raises NotJudgedError without one."""
    wanted = last_number(reference)
    if wanted is None:
        raise NotJudgedError('metric "numeric" needs a reference that has a number')
    return float(last_number(answer) == wanted)


def contains(reference: str, answer: str) -> float:
    """1 if the normalised reference stands in the answer as whole words, else 0."""
    wanted = normalised(reference)
    if not wanted:
        raise NotJudgedError('metric "contains" needs a reference with a word')
    pattern = rf"(?<!\w){re.escape(wanted)}(?!\w)"
    return float(re.search(pattern, " ".join(answer.casefold().split())) is not None)


def bleu1(reference: str, answer: str) -> float:
    """Unigram BLEU with brevity penalty."""
    # The import takes half a second and 30 MB, which only users of this metric should pay.
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(max_ngram_order=1, effective_order=True)
    return _unit(metric.sentence_score(answer, [reference]).score / 100.0)


def rouge1(reference: str, answer: str) -> float:
    """ROUGE-1 F1, without stemming."""
    # The import brings in nltk, which only users of this metric should pay for.
    from rouge_score.rouge_scorer import RougeScorer

    return _unit(RougeScorer(["rouge1"]).score(reference, answer)["rouge1"].fmeasure)


def _unit(value: float) -> float:
    """Takes back what rounding put above 1."""
    return min(1.0, max(0.0, float(value)))


METRICS: dict[str, Callable[[str, str], float]] = {
    "exact": exact,
    "numeric": numeric,
    "contains": contains,
    "bleu1": bleu1,
    "rouge1": rouge1,
}


class ReferenceLabeler:
    """Judges by one metric against one right answer.

    Args:
        reference: the right answer.
        metric: a key of `METRICS`; "" is "exact".
        executor: where the work runs, since some metrics take milliseconds.

    Raises:
        NotJudgedError: an unknown metric.

    """

    source = "reference"

    def __init__(self, reference: str, metric: str, executor: Executor) -> None:
        try:
            self._metric = METRICS[metric or "exact"]
        except KeyError:
            raise NotJudgedError(f"metric {metric!r}: allowed: {', '.join(METRICS)}") from None
        self._reference, self._executor = reference, executor

    async def satisfaction(self, prompt: str, answer: str) -> float:
        """See `ports.Labeler`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._metric, self._reference, answer)
