"""One row per number, with its target and whether it was reached."""

import operator
from dataclasses import dataclass

from rich.table import Table

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, "==": operator.eq}


@dataclass(frozen=True)
class Row:
    """A measured number; `bound` is "<=", ">=", "<" or "=="."""

    what: str
    value: float
    unit: str
    bound: str
    target: float

    @property
    def reached(self) -> bool:
        return bool(_COMPARE[self.bound](self.value, self.target))


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def table(rows: list[Row]) -> Table:
    result = Table("measurement", "value", "target", "reached")
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        result.add_row(
            row.what,
            _number(row.value) + unit,
            f"{row.bound} {row.target:,g}{unit}",
            "yes" if row.reached else "NO",
        )
    return result
