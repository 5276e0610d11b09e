"""Short ways to write the events of one request, for tests of the fold."""

import numpy as np

from services.core.events import (
    Decision,
    EnergyAttributed,
    Entry,
    Event,
    Label,
    ModelGeneration,
    Outcome,
    Position,
    Redecision,
    Role,
)

MODELS = ("small", "medium", "large")


def at(milliseconds: int, event: Event, sequence: int = 0) -> Entry:
    return Entry(Position(milliseconds, sequence), event)


def decision(
    request_id: str = "r",
    model: str = "small",
    *,
    explored: bool = False,
    alpha: float = 0.5,
    features: tuple[float, ...] = (1.0, 0.25),
    step: int = 1,
    charged: float = 0.5,
    models: tuple[str, ...] = MODELS,
    sla_class: str = "standard",
    load_factors: tuple[float, ...] = (),
) -> Decision:
    others = tuple(m for m in models if m != model) if explored else ()
    return Decision(
        request_id=request_id,
        sla_class=sla_class,
        step=step,
        min_satisfaction=alpha,
        snapshot_version=1,
        virtual_queue=0.0,
        decision_debt=0.0,
        step_seen=step,
        seed=7,
        features=np.array(features),
        model_ids=models,
        satisfaction_means=(0.5,) * len(models),
        satisfaction_variances=(),
        energy_joules=(1.0,) * len(models),
        eligible=(True,) * len(models),
        model_id=model,
        generation_id=f"g-{model}",
        explored=explored,
        charged_satisfaction=charged,
        policy="messplus-2025",
        explored_generations=tuple(ModelGeneration(m, f"g-{m}") for m in others),
        load_factors=load_factors,
    )


def label(satisfaction: float, model: str = "", request_id: str = "r") -> Label:
    return Label(request_id, f"g-{model}" if model else "", satisfaction, "client")


def energy(joules: float, model: str, request_id: str = "r", generation: str = "") -> EnergyAttributed:
    return EnergyAttributed(request_id, generation or f"g-{model}", model, joules)


def redecision(old: str, new: str, request_id: str = "r") -> Redecision:
    return Redecision(request_id, "standard", old, f"g-{old}", new, f"g-{new}-again", 0.75, 0.5, "gone")


def outcome(model: str, role: Role, request_id: str = "r") -> Outcome:
    return Outcome(request_id, f"g-{model}", model, role, 10, 0, 5, 0.1, 0.2, "stop")
