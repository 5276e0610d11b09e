"""What the generations of a routed run spent, when, and how far the figures can be trusted. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.core.events import EnergyAttributed


@dataclass(frozen=True, slots=True)
class SpentGeneration:
    """One generation of the run, served or not; times in s since the run began."""

    kind: str
    """Kind of its prompt."""
    began_seconds: float
    ended_seconds: float
    figure: EnergyAttributed
    """Its joules."""

    @property
    def power_watts(self) -> float:
        """Its joules spread evenly over its time, W."""
        seconds = self.ended_seconds - self.began_seconds
        return self.figure.energy_joules / seconds if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """Mean power of all meters over the interval that ends here."""

    time_seconds: float
    """Since the run began."""
    power_watts: float


@dataclass(frozen=True, slots=True)
class RunEnergy:
    """The joules of a routed run, by generation, and what the meters showed meanwhile."""

    generations: Sequence[SpentGeneration] = ()
    power: Sequence[PowerPoint] = ()


@dataclass(frozen=True, slots=True)
class Spending:
    """Several generations together."""

    generations: int
    joules: float
    """Of all of them, J."""
    uncertainty_joules: float | None
    """Mean half-width of their 95 % intervals, J, of those where step costs were known; None if an
    ESTIMATED figure is among them."""
    trust: tuple[str, ...]
    """Every quality, method and tier among them, for example "MEASURED nvml, tier B"."""

    @property
    def mean_joules(self) -> float:
        """Joules per generation."""
        return self.joules / self.generations


def spending(generations: Iterable[SpentGeneration]) -> Spending | None:
    """Adds generations up; None if there are none."""
    figures = [generation.figure for generation in generations]
    if not figures:
        return None
    half_widths = [f.uncertainty_joules for f in figures if f.uncertainty_joules is not None]
    is_known = half_widths and all(figure.quality != "ESTIMATED" for figure in figures)
    return Spending(
        generations=len(figures),
        joules=sum(figure.energy_joules for figure in figures),
        uncertainty_joules=sum(half_widths) / len(half_widths) if is_known else None,
        trust=tuple(sorted({f"{f.quality} {f.method}, tier {f.tier}" for f in figures})),
    )


def by_kind(energy: RunEnergy, models: Sequence[str]) -> Mapping[str, tuple[Spending | None, ...]]:
    """Kind of prompt -> what the generations of each model spent on it; None where it had none."""
    kinds = sorted({generation.kind for generation in energy.generations})
    return {
        kind: tuple(
            spending(g for g in energy.generations if (g.kind, g.figure.model_id) == (kind, model))
            for model in models
        )
        for kind in kinds
    }


def by_model(energy: RunEnergy, models: Sequence[str]) -> tuple[Spending | None, ...]:
    """What the generations of each model spent on all kinds."""
    return tuple(spending(g for g in energy.generations if g.figure.model_id == model) for model in models)
