"""What to set: batch size by the published rules, replicas as long as they gain for sure."""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.pareto.sweep import Point

REFERENCE_BATCH = 32
"""The batch size whose inter-token latency the batch rule starts from."""
EFFICIENCY = 0.1
"""eps: the least share of perfect scaling that a batch must keep."""
KNEE_SHARE = 0.9
USABLE_MEMORY = 0.9


@dataclass(frozen=True, slots=True)
class Memory:
    """What replicas share, in bytes."""

    total_bytes: float
    """M of the accelerator."""
    weights_bytes: float
    """Of one replica."""
    kv_bytes_per_token: float

    def needed_bytes(self, point: Point) -> float:
        """R (weights + KV): a sequence holds its prompt and, on average, half of its output."""
        context = point.prompt_tokens + 0.5 * point.output_tokens
        found = point.configuration
        return found.replicas * (self.weights_bytes + found.batch * context * self.kv_bytes_per_token)

    def holds(self, point: Point) -> bool:
        """Whether it needs at most 90 % of the memory."""
        return self.needed_bytes(point) <= USABLE_MEMORY * self.total_bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recommendation must keep; None: no limit."""

    max_itl_seconds: float | None = None
    max_ttft_seconds: float | None = None
    memory: Memory | None = None

    def keeps(self, point: Point) -> bool:
        """Whether a point keeps them, at the upper end of its interval."""
        itl, ttft = self.max_itl_seconds, self.max_ttft_seconds
        return (
            (itl is None or point.itl.high <= itl)
            and (ttft is None or point.ttft.high <= ttft)
            and (self.memory is None or self.memory.holds(point))
        )


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to run, and why no more replicas."""

    chosen: Point | None
    """None where no point keeps the limits."""
    baseline: Point | None
    """The best single replica within the limits: what replication must beat."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gain:
    """A replicated point against the best single replica of one variant."""

    replicated: Point
    single: Point

    @property
    def throughput(self) -> float:
        """Relative gain; .337 for 33.7 % more."""
        return self.replicated.throughput.mean / self.single.throughput.mean - 1.0

    @property
    def energy(self) -> float | None:
        """Relative change of joules per token; None where it was not measured."""
        first, second = self.replicated.joules_per_token, self.single.joules_per_token
        return None if first is None or second is None else first.mean / second.mean - 1.0

    @property
    def energy_is_sure(self) -> bool:
        """Whether the energy changes by more than the interval of the difference."""
        first, second = self.replicated.joules_per_token, self.single.joules_per_token
        return first is not None and second is not None and first.differs(second)


def batch_sweep(points: Sequence[Point]) -> dict[int, Point]:
    """Points of one replica without variant, by rising batch size."""
    single = [p for p in points if p.configuration.replicas == 1 and not p.configuration.variant]
    return {point.configuration.batch: point for point in sorted(single, key=_batch)}


def knee(sweep: dict[int, Point]) -> int:
    """The smallest batch size with 90 % of the sweep's throughput."""
    most = max(point.throughput.mean for point in sweep.values())
    return min(batch for batch, point in sweep.items() if point.throughput.mean >= KNEE_SHARE * most)


def batch_rule(sweep: dict[int, Point], latency_factor: float, efficiency: float = EFFICIENCY) -> int | None:
    """max{B: ITL(B) <= L ITL(32) and T(B) / (B T(1)) > eps}; None where 1 or 32 was not measured."""
    if not {1, REFERENCE_BATCH} <= sweep.keys():
        return None
    limit = latency_factor * sweep[REFERENCE_BATCH].itl.mean
    alone = sweep[1].throughput.mean
    kept = [
        batch
        for batch, point in sweep.items()
        if point.itl.mean <= limit and point.throughput.mean / (batch * alone) > efficiency
    ]
    return max(kept, default=None)


def gains(points: Sequence[Point]) -> tuple[Gain, ...]:
    """Every replicated point against the tuned single replica of each variant."""
    singles: dict[str, Point] = {}
    for point in points:
        found = point.configuration
        if found.replicas == 1 and (
            found.variant not in singles or point.throughput.mean > singles[found.variant].throughput.mean
        ):
            singles[found.variant] = point
    replicated = [point for point in points if point.configuration.replicas > 1]
    return tuple(Gain(point, single) for point in replicated for single in singles.values())


def recommend(points: Sequence[Point], limits: Limits) -> Recommendation:
    """The tuned single replica, then more replicas as long as each step gains more than its interval."""
    kept = [point for point in points if limits.keeps(point)]
    if not kept:
        return Recommendation(None, None, (_closest(points, limits),))
    counts = sorted({point.configuration.replicas for point in kept})
    best = {count: _fastest(kept, count) for count in counts}
    chosen, reasons = best[counts[0]], []
    for count in counts[1:]:
        more = best[count]
        percent = 100.0 * (more.throughput.mean / chosen.throughput.mean - 1.0)
        step = f"{more.configuration.name} against {chosen.configuration.name}: {percent:+.1f} % throughput"
        if more.throughput.mean <= chosen.throughput.mean or not more.throughput.differs(chosen.throughput):
            reasons.append(f"{step}, inside the interval or a loss: no more replicas")
            break
        reasons.append(f"{step}, more than the interval")
        chosen = more
    return Recommendation(chosen, best.get(1), tuple(reasons))


def _fastest(points: Sequence[Point], replicas: int) -> Point:
    found = [point for point in points if point.configuration.replicas == replicas]
    return max(found, key=lambda point: point.throughput.mean)


def _closest(points: Sequence[Point], limits: Limits) -> str:
    """The best that is reachable where no point keeps the limits."""
    parts = []
    fits = [p for p in points if limits.memory is None or limits.memory.holds(p)]
    if limits.memory is not None and not fits:
        needed = min(limits.memory.needed_bytes(point) for point in points) / 1e9
        parts.append(f"the least memory that any needs is {needed:.1f} GB of {USABLE_MEMORY:.0%} usable")
    measured = (("inter-token latency", [p.itl for p in fits]), ("first token", [p.ttft for p in fits]))
    for name, values in measured:
        if values:
            parts.append(f"the least {name} is {1e3 * min(value.high for value in values):.4g} ms")
    return "No measured point keeps the limits: " + "; ".join(parts)


def _batch(point: Point) -> int:
    return point.configuration.batch
