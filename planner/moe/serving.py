"""What an output token costs: the cheapest number of accelerators at the batch that memory allows."""

import math
from dataclasses import dataclass

from planner.moe.architecture import Architecture, Workload
from planner.moe.latency import StepLatency

USABLE_MEMORY = 0.9
"""Share of an accelerator's memory for weights, keys and values."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Accelerators to rent, and how fast an iteration is on them."""

    memory_bytes: float
    """M0 of one accelerator."""
    dollars_per_hour: float
    """C0 of one accelerator, per hour."""
    gpu_counts: tuple[int, ...]
    """How many can serve one model."""
    latency: StepLatency


@dataclass(frozen=True, slots=True)
class ServingCost:
    """The cheapest way to serve a model."""

    gpus: int
    batch: float
    """Sequences that run at once."""
    step_seconds: float
    """Of one iteration: prefill and decode."""
    tokens_per_second: float
    dollars_per_million_tokens: float
    """Of output."""


def max_batch(model: Architecture, machine: Machine, gpus: int, work: Workload) -> float:
    """b = (G M0 - N_m) / ((2p + n) h l), all in bytes; negative where the weights alone do not fit."""
    free = gpus * machine.memory_bytes * USABLE_MEMORY - model.total_bytes
    return free / model.kv_bytes_per_sequence(work)


def serving_cost(model: Architecture, machine: Machine, work: Workload) -> ServingCost | None:
    """Min over G of G C0 / T with T = b / (Lat_P + Lat_D); None where no number of accelerators holds it."""
    ways = [way for gpus in machine.gpu_counts if (way := _on(model, machine, gpus, work))]
    return min(ways, key=lambda way: way.dollars_per_million_tokens, default=None)


def cost_per_token(model: Architecture, machine: Machine, work: Workload) -> float:
    """Dollars per million output tokens; infinite where the model fits nowhere."""
    cost = serving_cost(model, machine, work)
    return math.inf if cost is None else cost.dollars_per_million_tokens


def _on(model: Architecture, machine: Machine, gpus: int, work: Workload) -> ServingCost | None:
    batch = max_batch(model, machine, gpus, work)
    if batch < 1.0:
        return None
    latency = machine.latency
    seconds = latency.prefill_seconds(model, batch, gpus, work)
    seconds += latency.decode_seconds(model, batch, gpus, work)
    dollars = gpus * machine.dollars_per_hour / 3600.0 * seconds / batch
    return ServingCost(gpus, batch, seconds, batch / seconds, dollars * 1e6)
