"""One row per number, with its target and whether it was reached."""

import operator
from dataclasses import dataclass

from rich.table import Table

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, "==": operator.eq}


@dataclass(frozen=True)
class Row:
    """A measured number; `bound` is "<=", ">=", "<" or "==", or "" for a yardstick that has no target."""

    what: str
    value: float
    unit: str
    bound: str = ""
    target: float = 0.0

    @property
    def reached(self) -> bool:
        """True for a yardstick."""
        return not self.bound or bool(_COMPARE[self.bound](self.value, self.target))

    @property
    def verdict(self) -> tuple[str, str]:
        """The target and whether it was reached, for people; empty for a yardstick."""
        if not self.bound:
            return "", ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.bound} {self.target:,g}{unit}", "yes" if self.reached else "NO"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def table(rows: list[Row]) -> Table:
    result = Table("measurement", "value", "target", "reached")
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        result.add_row(row.what, _number(row.value) + unit, *row.verdict)
    return result
