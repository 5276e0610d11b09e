"""What `bench.gpu_energy` found, and its table in the form of docs/benchmarks.md."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.gpu_engine import Engine
from bench.gpu_fit import NAMES, StepFit
from services.core.energy_ledger import Reading
from services.core.events import EnergyAttributed
from services.energy.metering import MeterStatus
from services.energy.meters.base import MICROJOULES_PER_JOULE
from services.energy.meters.sampled import SampledMeter

Line = tuple[str, str, str, str]
"""Measurement, value, target, reached."""


@dataclass
class Served:
    """One batch size: what was measured, what was charged, and what it was fitted from."""

    batch: int
    seconds: float
    engine: Engine
    published: list[EnergyAttributed]
    status: MeterStatus
    readings: list[Reading]

    @property
    def missing_microjoules(self) -> int:
        """Measured minus (figures plus unattributed); 0 if joules are conserved."""
        figures = sum(round(figure.energy_joules * MICROJOULES_PER_JOULE) for figure in self.published)
        balance = self.status.balance
        return balance.measured_microjoules - figures - sum(balance.unattributed_microjoules.values())

    @property
    def attributed_joules(self) -> float:
        return self.status.balance.attributed_microjoules / MICROJOULES_PER_JOULE


@dataclass
class Findings:
    """Everything that the table shows."""

    meter: SampledMeter
    idle_watts: float = 0.0
    served: list[Served] = field(default_factory=list)
    fit: StepFit | None = None


def table(findings: Findings) -> list[Line]:
    """Rows as docs/benchmarks.md has them; what has no target is only told."""
    observed, fit = findings.meter.observed, findings.fit
    lines = [
        ("update period of the counter", _milliseconds(observed.update_period_seconds), "", ""),
        ("lag of the counter behind the power", _milliseconds(observed.lag_seconds), "", ""),
        _judged("counter against integrated power", observed.suspect or "within 10 %", "within 10 %"),
        ("idle, model loaded", f"{findings.idle_watts:.1f} W", "", ""),
    ]
    for each in findings.served:
        name, made = f"batch {each.batch}", f"{len(each.published):,}"
        per_token = each.attributed_joules / max(each.engine.output_tokens, 1)
        speed = f"{per_token:.4g} J at {each.engine.output_tokens / each.seconds:,.0f} tokens/s"
        lines += [
            _judged(
                f"{name}: measured - (figures + unattributed)", f"{each.missing_microjoules:,} uJ", "0 uJ"
            ),
            _judged(f"{name}: requests with a figure", made, f"{each.engine.generations:,}"),
            (f"{name}: attributed, per output token", speed, "", ""),
        ]
    if fit is not None:
        lines += [(f"{n}", f"{c:.3g} J", "", "") for n, c in zip(NAMES, fit.coefficients, strict=True)]
        residual = f"{fit.median_residual:.1%} of {fit.windows:,} windows".replace("%", " %")
        lines.append(("median residual of the step law", residual, "", ""))
    return lines


def markdown(lines: Sequence[Line]) -> list[str]:
    """A table for docs/benchmarks.md."""
    head = ["| measurement | value | target | reached |", "|---|---|---|---|"]
    return head + [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines]


def _judged(what: str, value: str, target: str) -> Line:
    return what, value, target, "yes" if value == target else "**no**"


def _milliseconds(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds * 1000:.0f} ms"
