"""The events of the log as plain values: what the fold consumes and replay reads.

`protos/messplus/common/v1/event.proto` documents every field; `services.common.event_codec`
translates. The log is ordered by `Position`, the stream's own entry ids.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Position(NamedTuple):
    """Place of an entry in the log: milliseconds of the store's clock, then a counter."""

    milliseconds: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Reads "milliseconds-sequence". Raises ValueError on anything else."""
        milliseconds, _, sequence = text.partition("-")
        return cls(int(milliseconds), int(sequence))


START = Position(0, 0)


class Role(Enum):
    """Why a generation was run."""

    SERVED = "served"
    EXPLORED = "explored"
    SHADOW = "shadow"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelGeneration:
    """A generation and the model that runs it."""

    model_id: str
    generation_id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A request was routed. `features` is float64 of shape (d,), rounded to float16 on the wire.

    `satisfaction_means`, `satisfaction_variances` (possibly empty), `energy_joules`, `eligible` and `scores`
    (empty where `energy_weight` and `virtual_queue` give them) run parallel to `model_ids`. `step` is
    assigned by the log (>= 1), `step_seen` is what the router used. `dual_joules` (lambda, J) and `debt` (D,
    requests) are 0 for policies without. `load_factors`, parallel too, are the joules at the load of each
    model's worker over those on an idle one, as the router saw it; empty where all are 1.
    """

    request_id: str
    sla_class: str
    step: int
    min_satisfaction: float
    snapshot_version: int
    virtual_queue: float
    decision_debt: float
    step_seen: int
    seed: int
    features: FloatArray
    model_ids: tuple[str, ...]
    satisfaction_means: tuple[float, ...]
    satisfaction_variances: tuple[float, ...]
    energy_joules: tuple[float, ...]
    eligible: tuple[bool, ...]
    model_id: str
    generation_id: str
    explored: bool
    charged_satisfaction: float
    policy: str
    explored_generations: tuple[ModelGeneration, ...] = ()
    router_id: str = ""
    traceparent: str = ""
    scores: tuple[float, ...] = ()
    dual_joules: float = 0.0
    debt: float = 0.0
    load_factors: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Redecision:
    """Another model took over before the first token; supersedes the action and its charge."""

    request_id: str
    sla_class: str
    failed_model_id: str
    failed_generation_id: str
    model_id: str
    generation_id: str
    charged_satisfaction: float
    previous_charged_satisfaction: float
    reason: str
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A generation ended. Times in seconds from dispatch. `error` says what went wrong, "" if nothing did."""

    request_id: str
    generation_id: str
    model_id: str
    role: Role
    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    time_to_first_token_seconds: float | None
    latency_seconds: float
    finish_reason: str
    expected_energy_joules: float = 0.0
    wants_label: bool = False
    traceparent: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class EnergyAttributed:
    """Joules of one generation, and how far they can be trusted.

    `quality` is MEASURED, MODELLED or ESTIMATED; `tier` A to D (see the energy service).
    """

    request_id: str
    generation_id: str
    model_id: str
    energy_joules: float
    prefill_energy_joules: float = 0.0
    decode_energy_joules: float = 0.0
    shared_energy_joules: float = 0.0
    uncertainty_joules: float | None = None
    quality: str = "MODELLED"
    method: str = ""
    tier: str = "B"
    traceparent: str = ""


AUDIT = "audit"
"""Source of labels of a sample that was drawn independently of what the answers were like."""


@dataclass(frozen=True, slots=True)
class Label:
    """An answer was judged: `satisfaction` in [0, 1]. An empty generation id means the served one."""

    request_id: str
    generation_id: str
    satisfaction: float
    source: str
    traceparent: str = ""


Event = Decision | Redecision | Outcome | EnergyAttributed | Label


@dataclass(frozen=True, slots=True)
class Entry:
    """An event at its place in the log."""

    position: Position
    event: Event
