"""Plain values to wire messages."""

from dataclasses import asdict

from google.protobuf.duration_pb2 import Duration
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2

from services.common.event_codec import energy_to_proto, finish_reason_from_proto, finish_reason_to_proto
from services.core.decisions import served_generation_id
from services.core.events import EnergyAttributed, Outcome
from services.router.report import role_of
from services.router.requests import Ended, Piece, Started, Text
from services.router.views import ClassStatus, Explanation, ModelView


def decision_to_proto(started: Started, decision_id: str) -> router_service_pb2.Decision:
    """A decision for its caller."""
    return router_service_pb2.Decision(
        request_id=started.request_id,
        decision_id=decision_id,
        generation_id=started.generation_id,
        model_id=started.model_id,
        sla_class=started.sla_class,
        expected_energy_joules=started.expected_energy_joules,
        expected_satisfaction=started.expected_satisfaction,
        explored=started.explored,
        degraded=started.degraded,
        snapshot_version=started.snapshot_version,
        replayed=started.replayed,
        step=started.step,
    )


def decided_to_proto(started: Started, decision_id: str) -> router_service_pb2.DecideResponse:
    """The answer to `Decide`."""
    response = router_service_pb2.DecideResponse(decision=decision_to_proto(started, decision_id))
    for explored in started.explored_models:
        response.explored_models.add(model_id=explored.model_id, generation_id=explored.generation_id)
    return response


def piece_to_proto(piece: Piece, decision_id: str) -> router_service_pb2.GenerateResponse:
    """One message of `Generate`."""
    match piece:
        case Text(text):
            return router_service_pb2.GenerateResponse(delta=router_service_pb2.TextDelta(text=text))
        case Started():
            return router_service_pb2.GenerateResponse(decision=decision_to_proto(piece, decision_id))
        case Ended():
            return router_service_pb2.GenerateResponse(finished=_finished(piece, decision_id))


def _finished(ended: Ended, decision_id: str) -> router_service_pb2.Finished:
    first = ended.time_to_first_token_seconds
    return router_service_pb2.Finished(
        finish_reason=finish_reason_to_proto(ended.finish_reason),
        usage=common_pb2.Usage(
            prompt_tokens=ended.prompt_tokens,
            cached_prompt_tokens=ended.cached_prompt_tokens,
            completion_tokens=ended.completion_tokens,
        ),
        energy=energy_to_proto(ended.energy),
        decision_id=decision_id,
        time_to_first_token=None if first is None else _duration(first),
        latency=_duration(ended.latency_seconds),
    )


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def outcome_from_proto(
    request: router_service_pb2.ReportOutcomeRequest, traceparent: str
) -> tuple[Outcome, EnergyAttributed | None]:
    """What a caller of `Decide` reports, already checked."""
    generation_id = request.generation_id or served_generation_id(request.request_id)
    first = request.time_to_first_token if request.HasField("time_to_first_token") else None
    outcome = Outcome(
        request_id=request.request_id,
        generation_id=generation_id,
        model_id=request.model_id,
        role=role_of(request.request_id, generation_id),
        prompt_tokens=request.usage.prompt_tokens,
        cached_prompt_tokens=request.usage.cached_prompt_tokens,
        completion_tokens=request.usage.completion_tokens,
        time_to_first_token_seconds=None if first is None else first.seconds + first.nanos / 1e9,
        latency_seconds=request.latency.seconds + request.latency.nanos / 1e9,
        finish_reason=finish_reason_from_proto(request.finish_reason),
        traceparent=traceparent,
    )
    if not request.HasField("energy_joules"):
        return outcome, None
    energy = EnergyAttributed(
        request.request_id,
        generation_id,
        request.model_id,
        request.energy_joules,
        quality="MEASURED",
        method="client",
        tier="C",
        traceparent=traceparent,
    )
    return outcome, energy


def explanation_to_proto(explanation: Explanation) -> router_service_pb2.ExplainDecisionResponse:
    """The answer to `ExplainDecision`."""
    event = explanation.decision
    response = router_service_pb2.ExplainDecisionResponse(
        decision=router_service_pb2.Decision(
            request_id=event.request_id,
            generation_id=event.generation_id,
            model_id=event.model_id,
            sla_class=event.sla_class,
            expected_energy_joules=event.energy_joules[event.model_ids.index(event.model_id)],
            expected_satisfaction=event.charged_satisfaction,
            explored=event.explored,
            snapshot_version=event.snapshot_version,
            step=event.step,
        ),
        min_satisfaction=event.min_satisfaction,
        virtual_queue=event.virtual_queue,
        energy_weight=explanation.energy_weight,
        policy=event.policy,
        reason=explanation.reason,
        dual_joules=event.dual_joules,
        debt=event.debt,
        decision_debt=event.decision_debt,
    )
    for i, model_id in enumerate(event.model_ids):
        response.scores.add(
            model_id=model_id,
            satisfaction=event.satisfaction_means[i],
            satisfaction_variance=event.satisfaction_variances[i] if event.satisfaction_variances else None,
            energy_joules=event.energy_joules[i],
            score=explanation.scores[i] if explanation.scores else 0.0,
            eligible=event.eligible[i],
            chosen=model_id == event.model_id,
        )
    for failed in explanation.failures:
        response.failures.add(**asdict(failed))
    return response


def model_to_proto(model: ModelView) -> router_service_pb2.Model:
    """One model."""
    return router_service_pb2.Model(**model._asdict())


def class_to_proto(status: ClassStatus, model_ids: tuple[str, ...]) -> router_service_pb2.SlaStatus:
    """One SLA class."""
    message = router_service_pb2.SlaStatus(
        sla_class=status.name,
        min_satisfaction=status.min_satisfaction,
        steps=status.state.step,
        decision_debt=status.state.debt,
    )
    known = status.statistics
    if known is not None:
        message.labelled, message.virtual_queue = known.labelled, known.virtual_queue
        message.energy_joules, message.explorations = known.energy_joules, known.explorations
        message.exploration_energy_joules = known.exploration_energy_joules
        message.model_shares.update(zip(model_ids, known.model_shares(), strict=True))
        if known.mean_satisfaction is not None:
            message.mean_satisfaction = known.mean_satisfaction
    return message
