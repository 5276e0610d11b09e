"""Log entries to events and back: the one place that knows both the protobuf and the plain form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from messplus.common.v1 import common_pb2, event_pb2

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

_ROLE_TO_PROTO: dict[Role, common_pb2.GenerationRole.ValueType] = {
    Role.SERVED: common_pb2.GENERATION_ROLE_SERVED,
    Role.EXPLORED: common_pb2.GENERATION_ROLE_EXPLORED,
    Role.SHADOW: common_pb2.GENERATION_ROLE_SHADOW,
    Role.FAILED: common_pb2.GENERATION_ROLE_FAILED,
}
_ROLE_FROM_PROTO = {number: role for role, number in _ROLE_TO_PROTO.items()}
_TIER_TO_PROTO: dict[str, common_pb2.StepTier.ValueType] = {
    "A": common_pb2.STEP_TIER_ENGINE_STEPS,
    "B": common_pb2.STEP_TIER_TOKEN_TIMES,
    "C": common_pb2.STEP_TIER_REQUEST_TIMES,
    "D": common_pb2.STEP_TIER_NONE,
}
_TIER_FROM_PROTO = {number: tier for tier, number in _TIER_TO_PROTO.items()}


def encode_features(features: np.ndarray[Any, np.dtype[np.float64]]) -> bytes:
    """Features of shape (d,) as little-endian float16."""
    return features.astype("<f2").tobytes()


def round_features(features: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Features as the log will hold them, so that the router decides on what replay will see."""
    return features.astype("<f2").astype(np.float64)


def decode_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """One stream entry as an event at its position.

    Raises:
        ValueError: an unknown type, a missing field, or bytes that are not that type's message.

    """
    try:
        kind, data = fields[b"type"].decode(), fields[b"data"]
        event = _DECODERS[kind](data)
        if isinstance(event, event_pb2.DecisionEvent):
            return Entry(Position.parse(entry_id.decode()), _decision(event, int(fields[b"step"])))
        return Entry(Position.parse(entry_id.decode()), _from_proto(event))
    except (KeyError, DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"log entry {entry_id!r} is damaged: {error!r}") from error


_DECODERS: dict[str, Any] = {
    "decision": event_pb2.DecisionEvent.FromString,
    "redecision": event_pb2.RedecisionEvent.FromString,
    "outcome": event_pb2.OutcomeEvent.FromString,
    "energy": event_pb2.EnergyEvent.FromString,
    "label": event_pb2.LabelEvent.FromString,
}


def encode_event(event: Event) -> tuple[str, bytes]:
    """An event as the `type` and `data` fields of its log entry. A decision's step travels beside it."""
    match event:
        case Decision():
            return "decision", _encode_decision(event)
        case Redecision():
            return "redecision", _encode_redecision(event)
        case Outcome():
            return "outcome", _encode_outcome(event)
        case EnergyAttributed():
            return "energy", event_pb2.EnergyEvent(
                energy=energy_to_proto(event), traceparent=event.traceparent
            ).SerializeToString()
        case Label():
            return "label", _encode_label(event)


def _encode_decision(event: Decision) -> bytes:
    """A decision without its step, which the log assigns."""
    varying = event_pb2.DecisionEvent(
        request_id=event.request_id,
        sla_class=event.sla_class,
        min_satisfaction=event.min_satisfaction,
        snapshot_version=event.snapshot_version,
        virtual_queue=event.virtual_queue,
        decision_debt=event.decision_debt,
        step_seen=event.step_seen,
        seed=event.seed,
        features=encode_features(event.features),
        satisfaction_means=event.satisfaction_means,
        satisfaction_variances=event.satisfaction_variances,
        energy_joules=event.energy_joules,
        eligible=event.eligible,
        model_id=event.model_id,
        generation_id=event.generation_id,
        explored=event.explored,
        charged_satisfaction=event.charged_satisfaction,
        traceparent=event.traceparent,
        scores=event.scores,
        dual_joules=event.dual_joules,
        debt=event.debt,
        load_factors=event.load_factors,
        explored_generations=[
            event_pb2.ExploredGeneration(model_id=g.model_id, generation_id=g.generation_id)
            for g in event.explored_generations
        ],
    )
    # Messages that follow each other are read as one (protobuf's merge), so what repeats is built once.
    return _constant_part(event.model_ids, event.policy, event.router_id) + varying.SerializeToString()


@lru_cache(maxsize=64)
def _constant_part(model_ids: tuple[str, ...], policy: str, router_id: str) -> bytes:
    event = event_pb2.DecisionEvent(model_ids=model_ids, policy=policy, router_id=router_id)
    return event.SerializeToString()


def _decision(event: event_pb2.DecisionEvent, step: int) -> Decision:
    return Decision(
        request_id=event.request_id,
        sla_class=event.sla_class,
        step=step,
        min_satisfaction=event.min_satisfaction,
        snapshot_version=event.snapshot_version,
        virtual_queue=event.virtual_queue,
        decision_debt=event.decision_debt,
        step_seen=event.step_seen,
        seed=event.seed,
        features=np.frombuffer(event.features, "<f2").astype(np.float64),
        model_ids=tuple(event.model_ids),
        satisfaction_means=tuple(event.satisfaction_means),
        satisfaction_variances=tuple(event.satisfaction_variances),
        energy_joules=tuple(event.energy_joules),
        eligible=tuple(event.eligible),
        model_id=event.model_id,
        generation_id=event.generation_id,
        explored=event.explored,
        charged_satisfaction=event.charged_satisfaction,
        policy=event.policy,
        explored_generations=tuple(
            ModelGeneration(g.model_id, g.generation_id) for g in event.explored_generations
        ),
        router_id=event.router_id,
        traceparent=event.traceparent,
        scores=tuple(event.scores),
        dual_joules=event.dual_joules,
        debt=event.debt,
        load_factors=tuple(event.load_factors),
    )


def _encode_redecision(event: Redecision) -> bytes:
    return event_pb2.RedecisionEvent(
        request_id=event.request_id,
        sla_class=event.sla_class,
        failed_model_id=event.failed_model_id,
        failed_generation_id=event.failed_generation_id,
        model_id=event.model_id,
        generation_id=event.generation_id,
        charged_satisfaction=event.charged_satisfaction,
        previous_charged_satisfaction=event.previous_charged_satisfaction,
        reason=event.reason,
        traceparent=event.traceparent,
    ).SerializeToString()


def _encode_outcome(event: Outcome) -> bytes:
    return event_pb2.OutcomeEvent(
        request_id=event.request_id,
        generation_id=event.generation_id,
        model_id=event.model_id,
        role=_ROLE_TO_PROTO[event.role],
        usage=common_pb2.Usage(
            prompt_tokens=event.prompt_tokens,
            cached_prompt_tokens=event.cached_prompt_tokens,
            completion_tokens=event.completion_tokens,
        ),
        time_to_first_token_seconds=event.time_to_first_token_seconds,
        latency_seconds=event.latency_seconds,
        finish_reason=finish_reason_to_proto(event.finish_reason),
        traceparent=event.traceparent,
        expected_energy_joules=event.expected_energy_joules,
        wants_label=event.wants_label,
        error=event.error,
    ).SerializeToString()


def _encode_label(event: Label) -> bytes:
    return event_pb2.LabelEvent(
        request_id=event.request_id,
        generation_id=event.generation_id,
        satisfaction=event.satisfaction,
        source=event.source,
        traceparent=event.traceparent,
    ).SerializeToString()


def _from_proto(event: Any) -> Event:
    match event:
        case event_pb2.RedecisionEvent():
            return Redecision(
                request_id=event.request_id,
                sla_class=event.sla_class,
                failed_model_id=event.failed_model_id,
                failed_generation_id=event.failed_generation_id,
                model_id=event.model_id,
                generation_id=event.generation_id,
                charged_satisfaction=event.charged_satisfaction,
                previous_charged_satisfaction=event.previous_charged_satisfaction,
                reason=event.reason,
                traceparent=event.traceparent,
            )
        case event_pb2.OutcomeEvent():
            return _outcome(event)
        case event_pb2.EnergyEvent():
            return energy_from_proto(event.energy, event.traceparent)
        case _:
            return Label(
                event.request_id, event.generation_id, event.satisfaction, event.source, event.traceparent
            )


def _outcome(event: event_pb2.OutcomeEvent) -> Outcome:
    has_first = event.HasField("time_to_first_token_seconds")
    return Outcome(
        request_id=event.request_id,
        generation_id=event.generation_id,
        model_id=event.model_id,
        role=_ROLE_FROM_PROTO.get(event.role, Role.FAILED),
        prompt_tokens=event.usage.prompt_tokens,
        cached_prompt_tokens=event.usage.cached_prompt_tokens,
        completion_tokens=event.usage.completion_tokens,
        time_to_first_token_seconds=event.time_to_first_token_seconds if has_first else None,
        latency_seconds=event.latency_seconds,
        finish_reason=finish_reason_from_proto(event.finish_reason),
        expected_energy_joules=event.expected_energy_joules,
        wants_label=event.wants_label,
        traceparent=event.traceparent,
        error=event.error,
    )


def energy_to_proto(event: EnergyAttributed) -> common_pb2.GenerationEnergy:
    """Attributed joules as the message that replies and the log carry."""
    return common_pb2.GenerationEnergy(
        request_id=event.request_id,
        generation_id=event.generation_id,
        model_id=event.model_id,
        energy_joules=event.energy_joules,
        prefill_energy_joules=event.prefill_energy_joules,
        decode_energy_joules=event.decode_energy_joules,
        shared_energy_joules=event.shared_energy_joules,
        uncertainty_joules=event.uncertainty_joules,
        quality=common_pb2.EnergyQuality.Value(f"ENERGY_QUALITY_{event.quality}"),
        method=event.method,
        tier=_TIER_TO_PROTO[event.tier],
    )


def energy_from_proto(energy: common_pb2.GenerationEnergy, traceparent: str) -> EnergyAttributed:
    """Inverse of `energy_to_proto`."""
    return EnergyAttributed(
        request_id=energy.request_id,
        generation_id=energy.generation_id,
        model_id=energy.model_id,
        energy_joules=energy.energy_joules,
        prefill_energy_joules=energy.prefill_energy_joules,
        decode_energy_joules=energy.decode_energy_joules,
        shared_energy_joules=energy.shared_energy_joules,
        uncertainty_joules=energy.uncertainty_joules if energy.HasField("uncertainty_joules") else None,
        quality=common_pb2.EnergyQuality.Name(energy.quality).removeprefix("ENERGY_QUALITY_"),
        method=energy.method,
        tier=_TIER_FROM_PROTO.get(energy.tier, "D"),
        traceparent=traceparent,
    )


def finish_reason_to_proto(reason: str) -> common_pb2.FinishReason.ValueType:
    """ "stop", "length", "cancelled" or "error" as the enum."""
    return common_pb2.FinishReason.Value(f"FINISH_REASON_{reason.upper()}")


def finish_reason_from_proto(reason: common_pb2.FinishReason.ValueType) -> str:
    """Inverse of `finish_reason_to_proto`."""
    return common_pb2.FinishReason.Name(reason).removeprefix("FINISH_REASON_").lower()
