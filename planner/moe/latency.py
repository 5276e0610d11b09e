"""How long one iteration of a serving engine takes: terms with a physical meaning, their weights measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from planner.moe.architecture import Architecture, Workload
from services.core.errors import ConfigError, ConfigProblem

SECONDS_PER_FLOP = 1.0 / 5e14
"""Half of an H100's dense bf16 peak. Assumed: decoding hardly shows it at the batches that memory allows."""
LINK_SECONDS, SECONDS_PER_LINK_BYTE = 1e-5, 1.0 / 4.5e11
"""Start of an all-reduce, and NVLink 4's bandwidth in one direction. Assumed, like the above."""
_FITTED_TERMS = 4


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """Mean seconds of an iteration that a dense model was measured to take on one accelerator."""

    params: float
    """Of the model."""
    batch: float
    """Sequences that run at once."""
    workload: Workload
    step_seconds: float
    """Mean inter-token latency: an iteration gives every sequence one token."""


@dataclass(frozen=True, slots=True)
class StepLatency:
    """Weights of the terms; all are >= 0."""

    step_seconds: float
    """Of every iteration: scheduling, launching kernels."""
    seconds_per_weight_byte: float
    seconds_per_sequence: float
    """Sampling, detokenising and the like, per running sequence."""
    seconds_per_kv_byte: float
    batches: tuple[float, float]
    """Least and most sequences that were measured."""
    params: tuple[float, float]
    """Smallest and largest model that was measured."""
    mean_error: float
    """Mean relative error over the measured iterations."""
    source: str

    def prefill_seconds(self, model: Architecture, batch: float, gpus: int, work: Workload) -> float:
        """Lat_P(b/n, G): prompts that start in an iteration in which every n-th sequence is a new one."""
        prompt_tokens = batch / work.output_tokens * work.prompt_tokens
        return 2.0 * model.active_params * prompt_tokens * SECONDS_PER_FLOP / gpus

    def decode_seconds(self, model: Architecture, batch: float, gpus: int, work: Workload) -> float:
        """Lat_D(b, G): one token for each of `batch` sequences on `gpus` accelerators (tensor parallel)."""
        shared = (
            self.seconds_per_weight_byte * model.touched_bytes(batch)
            + self.seconds_per_kv_byte * batch * model.kv_bytes_per_sequence(work)
            + 2.0 * model.active_params * batch * SECONDS_PER_FLOP
        )
        own = self.step_seconds + self.seconds_per_sequence * batch
        return own + shared / gpus + self._links(model, batch, gpus)

    def outside(self, params: float, batch: float) -> tuple[str, ...]:
        """Which of both lie outside what was measured, each with that range."""
        asked = (("active N", params, self.params), ("batch", batch, self.batches))
        return tuple(
            f"latency: {name} {value:.3g} is outside the measured {low:.3g} to {high:.3g}"
            for name, value, (low, high) in asked
            if not low <= value <= high
        )

    def _links(self, model: Architecture, batch: float, gpus: int) -> float:
        if gpus == 1:
            return 0.0
        # Two all-reduces per layer, each of one activation per sequence.
        each = 2.0 * batch * model.hidden_bytes * (gpus - 1) / gpus
        return 2.0 * model.layers * (LINK_SECONDS + each * SECONDS_PER_LINK_BYTE)


def fit_latency(measured: Sequence[MeasuredStep], source: str) -> StepLatency:
    """Weights by least squares on relative errors, none negative. Raises ConfigError: too few points."""
    if len(measured) <= _FITTED_TERMS or len({point.batch for point in measured}) < 2:
        value = f"{len(measured)} measured iterations"
        allowed = f"more than {_FITTED_TERMS} are needed, at 2 batch sizes or more"
        raise ConfigError([ConfigProblem(source, "latency", value, allowed)])
    terms, known = zip(*map(_terms, measured), strict=True)
    seconds = np.array([point.step_seconds for point in measured])
    relative = np.array(terms) / seconds[:, None]
    scale = relative.max(axis=0)
    weights, _ = nnls(relative / scale, 1.0 - np.array(known) / seconds)
    weights = weights / scale
    error = float(np.abs(np.array(terms) @ weights + known - seconds).mean() / seconds.mean())
    batches = [point.batch for point in measured]
    sizes = [point.params for point in measured]
    spans = (min(batches), max(batches)), (min(sizes), max(sizes))
    step, weight_byte, sequence, kv_byte = map(float, weights)
    return StepLatency(step, weight_byte, sequence, kv_byte, *spans, error, source)


def _terms(point: MeasuredStep) -> tuple[tuple[float, ...], float]:
    """Terms to be weighed, parallel to `StepLatency`'s fields, and the seconds that are taken as known."""
    model = Architecture(point.params, 1)
    work = point.workload
    flops = 2.0 * point.params * point.batch * (1.0 + work.prompt_tokens / work.output_tokens)
    kv_bytes = point.batch * model.kv_bytes_per_sequence(work)
    return (1.0, model.touched_bytes(point.batch), point.batch, kv_bytes), flops * SECONDS_PER_FLOP


def h100_latency() -> StepLatency:
    """Weights for one H100: `measured_steps.latency_of_sweep` of measurements that others published."""
    return StepLatency(
        step_seconds=1.967e-3,
        seconds_per_weight_byte=6.704e-13,
        seconds_per_sequence=7.823e-5,
        seconds_per_kv_byte=7.047e-13,
        batches=(1.0, 584.0),
        params=(1.3e9, 1.3e10),
        mean_error=0.041,
        source="54 vLLM runs of OPT-1.3B, 2.7B and Llama-2-7B, 13B on one H100-64GB "
        "(FerranAgulloLopez/vLLMBatchingMemoryGap, commit a9186347)",
    )
