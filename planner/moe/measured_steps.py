"""Latencies of a serving sweep as iterations of dense models, for `latency.fit_latency`."""

import re

from planner.moe.architecture import Workload
from planner.moe.latency import MeasuredStep, StepLatency, fit_latency
from planner.pareto.sources import Sweep
from services.core.errors import ConfigError, ConfigProblem

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([mb])(?![a-z])", re.IGNORECASE)
_UNITS = {"m": 1e6, "b": 1e9}


def latency_of_sweep(sweep: Sweep) -> StepLatency:
    """Weights from all runs of one replica without variant.

    The number of parameters is taken from the model's name, as 1.3b or 135M. The batch is what really ran:
    throughput times inter-token latency (Little's law), since memory may keep a server below its cap.
    Raises ConfigError where a name states no size or the runs are too few.
    """
    runs = [r for r in sweep.runs if r.configuration.replicas == 1 and not r.configuration.variant]
    steps = [
        MeasuredStep(
            _params(sweep.place, run.configuration.model),
            run.tokens_per_second * run.itl_seconds,
            Workload(run.prompt_tokens, run.output_tokens),
            run.itl_seconds,
        )
        for run in runs
    ]
    return fit_latency(steps, sweep.place)


def _params(place: str, model: str) -> float:
    found = _SIZE.search(model)
    if found is None:
        allowed = "a model name that states its parameters, as 1.3b or 135M"
        raise ConfigError([ConfigProblem(place, "model", model, allowed)])
    return float(found[1]) * _UNITS[found[2].lower()]
