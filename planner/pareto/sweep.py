"""What a sweep over batch sizes and replicas measured, and how sure each number is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from services.core.events import FloatArray

ASSUMED_NOISE = 0.02
"""Relative standard deviation of a run where no configuration was measured twice."""
_TWO_SIDED_95 = 0.975


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was set for a run."""

    model: str
    group: str
    """The experiment that it belongs to: only runs of one group are compared."""
    batch: int
    """Most sequences that one replica runs at once."""
    replicas: int
    variant: str = ""
    """Anything else that was set, as chunked prefill."""

    @property
    def name(self) -> str:
        """Replicas x batch, with the variant."""
        return f"{self.replicas}x{self.batch}" + (f" {self.variant}" if self.variant else "")


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run; NaN stands for what was not measured."""

    configuration: Configuration
    prompt_tokens: float
    """Mean of a request."""
    output_tokens: float
    """Mean of a request."""
    tokens_per_second: float
    """Of output, over all replicas."""
    ttft_seconds: float
    """Mean time to the first token, queueing included."""
    itl_seconds: float
    """Mean time between two tokens of a request."""
    itl_p50_seconds: float
    itl_p99_seconds: float
    joules_per_token: float
    """Of output."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the half width of its 95 % interval."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half

    def differs(self, other: "Estimate") -> bool:
        """Whether the difference is larger than its own interval."""
        return abs(self.mean - other.mean) > float(np.hypot(self.half, other.half))


@dataclass(frozen=True, slots=True)
class Point:
    """All runs of one configuration."""

    configuration: Configuration
    repeats: int
    prompt_tokens: float
    output_tokens: float
    throughput: Estimate
    """Output tokens per second."""
    ttft: Estimate
    """Seconds."""
    itl: Estimate
    """Seconds."""
    itl_p50_seconds: float
    itl_p99_seconds: float
    joules_per_token: Estimate | None
    """None where it was not measured in every run."""


_NOISY = ("tokens_per_second", "ttft_seconds", "itl_seconds", "joules_per_token")


@dataclass(frozen=True, slots=True)
class Noise:
    """Relative standard deviation of one run, by measurement, pooled over all repeated configurations."""

    shares: dict[str, float]
    freedom: int
    """Degrees of freedom behind them; 0: assumed."""

    def half(self, name: str, mean: float, repeats: int) -> float:
        """Half width of the 95 % interval of a mean over `repeats` runs."""
        factor = float(stdtrit(self.freedom, _TWO_SIDED_95)) if self.freedom else 1.96
        return float(factor * self.shares[name] * mean / np.sqrt(repeats))


def pooled_noise(runs: Iterable[Run]) -> Noise:
    """Noise from configurations that were run more than once, whichever group they belong to."""
    repeated: dict[tuple[object, ...], list[Run]] = {}
    sizes: dict[Configuration, tuple[float, int]] = {}
    for run in runs:
        found = run.configuration
        # Runs of one configuration are repeats, even where their answers came out a token longer.
        size = sizes.setdefault(found, (round(run.prompt_tokens, 1), round(run.output_tokens)))
        key = (found.model, found.batch, found.replicas, found.variant, *size)
        repeated.setdefault(key, []).append(run)
    samples = [list_ for list_ in repeated.values() if len(list_) > 1]
    freedom = sum(len(list_) - 1 for list_ in samples)
    return Noise({name: _pooled(samples, name) for name in _NOISY}, freedom)


def _pooled(samples: Sequence[Sequence[Run]], name: str) -> float:
    squares, freedom = 0.0, 0
    for runs in samples:
        values = _values(runs, name)
        values = values[np.isfinite(values)]
        if len(values) > 1:
            squares += float(((values / values.mean() - 1.0) ** 2).sum())
            freedom += len(values) - 1
    return float(np.sqrt(squares / freedom)) if freedom else ASSUMED_NOISE


def points(runs: Sequence[Run], noise: Noise) -> tuple[Point, ...]:
    """One point per configuration, in order of appearance."""
    grouped: dict[Configuration, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.configuration, []).append(run)
    return tuple(_point(configuration, found, noise) for configuration, found in grouped.items())


def _point(configuration: Configuration, runs: Sequence[Run], noise: Noise) -> Point:
    estimates = {name: _estimate(runs, name, noise) for name in _NOISY}
    energy = estimates["joules_per_token"]
    return Point(
        configuration,
        len(runs),
        float(_values(runs, "prompt_tokens").mean()),
        float(_values(runs, "output_tokens").mean()),
        estimates["tokens_per_second"],
        estimates["ttft_seconds"],
        estimates["itl_seconds"],
        float(_values(runs, "itl_p50_seconds").mean()),
        float(_values(runs, "itl_p99_seconds").mean()),
        energy if np.isfinite(energy.mean) else None,
    )


def _estimate(runs: Sequence[Run], name: str, noise: Noise) -> Estimate:
    mean = float(_values(runs, name).mean())
    return Estimate(mean, noise.half(name, mean, len(runs)))


def _values(runs: Sequence[Run], name: str) -> FloatArray:
    return np.array([getattr(run, name) for run in runs], dtype=np.float64)
