"""The SLA ledger of one class: how much satisfaction is owed, when labels come late, rarely or never.

A decision is charged at once with what was predicted (alpha - p); its label, whenever it comes, corrects
the prediction by (y - p), weighted by how rare labels are. So the debt D is exact where every answer is
labelled, unbiased where a share is, and provisional while labels are on their way.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_RATE_DECISIONS = 1000
_MAX_LAG = 1000
_RING = (1 << (_RATE_DECISIONS + 2 * _MAX_LAG)) - 1
_RATE_WINDOW = (1 << _RATE_DECISIONS) - 1
_MIN_LABEL_RATE = 0.02
_LAG_MARGIN = 8
_LAG_KEPT = 0.998
_SHARES_KEPT = 0.998


@dataclass(slots=True)
class Ledger:
    """Debt of an SLA class in units of satisfied requests, and the share of answers that get a label.

    Attributes:
        decision_debt: sum of alpha minus the predicted satisfaction over decisions, as the log sums it.
        label_credit: sum of (label - predicted satisfaction) / label rate, and what was forgiven.
        decisions: charged so far.
        labels: credited so far.
        label_lag: decisions within which labels lately came, >= 0.
        satisfied_share: fading mean of the labels that are not audited.
        audited_share: fading share of labels that are audited.
        labelled_bits: bit i is set where the i-th newest decision got its label.

    """

    decision_debt: float = 0.0
    label_credit: float = 0.0
    decisions: int = 0
    labels: int = 0
    label_lag: float = 0.0
    labelled_bits: int = 0
    satisfied_share: float = 0.5
    audited_share: float = 0.0

    @property
    def debt(self) -> float:
        """D: satisfied requests owed; below 0, what was given beyond alpha."""
        return self.decision_debt - self.label_credit

    @property
    def label_rate(self) -> float:
        """Share of the newest 1,000 due decisions that got a label, in [.02, 1]; 1 before any is due.

        A decision is due once more decisions followed it than labels lately took to come.
        """
        due_after = self._due_after
        due = min(_RATE_DECISIONS, self.decisions - due_after)
        if self.labels == 0 or due <= 0:
            return 1.0
        found = ((self.labelled_bits >> due_after) & _RATE_WINDOW).bit_count()
        return max(_MIN_LABEL_RATE, (found + 1.0) / (due + 1.0))

    @property
    def _due_after(self) -> int:
        return min(_MAX_LAG, int(1.25 * self.label_lag) + _LAG_MARGIN)

    def decide(self, debt_before: float, change: float) -> int:
        """Charges a decision with `change` = alpha - p; returns its number, from 1.

        `debt_before` is the decision debt that the router saw. The first decision takes it as settled: a
        ledger that begins in the middle of a log owes nothing for what came before.
        """
        if self.decisions == 0:
            self.decision_debt = self.label_credit = debt_before
        self.decision_debt += change
        self.decisions += 1
        self.labelled_bits = (self.labelled_bits << 1) & _RING
        return self.decisions

    def redecide(self, change: float, credited: bool) -> None:
        """Replaces a decision's charge by adding `change`; no debt where a label settled it already."""
        self.decision_debt += change
        if credited:
            self.label_credit += change

    def credit(
        self,
        number: int,
        charged: float,
        satisfaction: float,
        answer_ratio: float = 1.0,
        *,
        audited: bool = False,
    ) -> None:
        """Corrects the charge of decision `number` by its label; each decision once.

        `answer_ratio`: how many times as often the dissatisfied answer, where nobody audits.
        """
        age = self.decisions - number
        self.labels += 1
        self.label_lag = max(min(float(age), float(_MAX_LAG)), self.label_lag * _LAG_KEPT)
        self.labelled_bits |= self._bit(age)
        self._count_source(satisfaction, audited)
        self.label_credit += (satisfaction - charged) / self._rate_of(satisfaction, answer_ratio)

    def _count_source(self, satisfaction: float, audited: bool) -> None:
        weight = max(1.0 / (self.labels + 2.0), 1.0 - _SHARES_KEPT)
        self.audited_share += weight * (audited - self.audited_share)
        if not audited:
            self.satisfied_share += weight * (satisfaction - self.satisfied_share)

    def _rate_of(self, satisfaction: float, answer_ratio: float) -> float:
        """Share of such answers that get a label: those of dissatisfied users get more."""
        rate = self.label_rate
        if answer_ratio == 1.0:
            return rate
        audited, voluntary = rate * self.audited_share, rate * (1.0 - self.audited_share)
        satisfied = voluntary * (self.satisfied_share + (1.0 - self.satisfied_share) / answer_ratio)
        found = audited + satisfied * (satisfaction + (1.0 - satisfaction) * answer_ratio)
        return min(1.0, max(_MIN_LABEL_RATE, found))

    def _bit(self, age: int) -> int:
        if age < _RATE_DECISIONS + 2 * _MAX_LAG:
            return 1 << age
        # Older than is kept: it stands for the decisions of today, whose labels are as late.
        missing = ~self.labelled_bits & (_RATE_WINDOW << self._due_after)
        return missing & -missing

    def clip(self, low: float, high: float) -> float:
        """Forgives debt above `high` and savings below `low`; returns how far D moved, 0 where inside."""
        before = self.debt
        if low <= before <= high:
            return 0.0
        moved = min(max(before, low), high) - before
        self.label_credit -= moved
        return moved

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"labelled_bits": f"{self.labelled_bits:x}"}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Ledger":
        """Inverse of `document`. Raises ValueError, TypeError on a damaged one."""
        ledger = cls(**{**document, "labelled_bits": int(document["labelled_bits"], 16)})
        shares = (ledger.satisfied_share, ledger.audited_share)
        if not all(type(share) is float and 0.0 <= share <= 1.0 for share in shares):
            raise ValueError(f"ledger: shares {shares} must lie in [0, 1]")
        counts = (ledger.decisions, ledger.labels, ledger.labelled_bits)
        numbers = (ledger.decision_debt, ledger.label_credit, ledger.label_lag)
        if not all(type(count) is int and count >= 0 for count in counts) or ledger.labelled_bits > _RING:
            raise ValueError(f"ledger: counts {counts[:2]} or its bits are out of range")
        if not all(type(n) is float and math.isfinite(n) for n in numbers) or ledger.label_lag < 0.0:
            raise ValueError(f"ledger: {numbers} must be finite, the lag >= 0")
        return ledger
