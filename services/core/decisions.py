"""The record of a decision: the one event that live routing and replay both write."""

from collections.abc import Sequence

from services.core.events import Decision, ModelGeneration
from services.core.policies.base import Action, Context


def served_generation_id(request_id: str) -> str:
    """Id of the generation that a decision serves."""
    return f"{request_id}.0"


def decision_event(
    request_id: str,
    model_ids: tuple[str, ...],
    context: Context,
    action: Action,
    *,
    policy: str,
    snapshot_version: int,
    seed: int,
    step: int = 0,
    router_id: str = "",
    traceparent: str = "",
) -> Decision:
    """What was decided, and all that it rests on.

    `policy` names what decided and `snapshot_version` the learned state that it saw; `seed` is that of the
    decision's random numbers. `step` is 0 where the log assigns it.
    """
    means, variances, sla = action.satisfaction_means.tolist(), action.satisfaction_variances, context.sla
    joules = context.energy_joules if action.energy_joules is None else action.energy_joules
    eligible = context.eligible.tolist()
    return Decision(
        request_id=request_id,
        sla_class=sla.sla_class,
        step=step,
        min_satisfaction=sla.min_satisfaction,
        snapshot_version=snapshot_version,
        virtual_queue=sla.virtual_queue,
        decision_debt=sla.decision_debt,
        step_seen=sla.step,
        seed=seed,
        features=context.features,
        model_ids=model_ids,
        satisfaction_means=means,
        satisfaction_variances=() if variances is None else variances.tolist(),
        energy_joules=joules.tolist(),
        eligible=eligible,
        model_id=model_ids[action.model_index],
        generation_id=served_generation_id(request_id),
        explored=action.explored,
        charged_satisfaction=means[action.model_index],
        policy=policy,
        scores=action.scores.tolist() if action.dual_joules else (),
        dual_joules=action.dual_joules,
        debt=action.debt,
        load_factors=() if context.load_factors is None else tuple(context.load_factors.tolist()),
        explored_generations=_explored(request_id, model_ids, action, eligible) if action.explored else (),
        router_id=router_id,
        traceparent=traceparent,
    )


def _explored(
    request_id: str, model_ids: tuple[str, ...], action: Action, eligible: Sequence[bool]
) -> tuple[ModelGeneration, ...]:
    others = [i for i, may in enumerate(eligible) if may and i != action.model_index]
    return tuple(ModelGeneration(model_ids[i], f"{request_id}.{n}") for n, i in enumerate(others, start=1))
