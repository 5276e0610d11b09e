"""How a decision looks to people."""

import math

from messplus.router.v1 import router_service_pb2
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_OF_JOULES, _OF_QUEUE = "score C~ - lambda*p~, J", "score V*E + Q*(alpha - A)"


def explanation_view(reply: router_service_pb2.ExplainDecisionResponse) -> RenderableType:
    """Everything that a router says about a decision: what it went by, the models, why this one won.

    And what failed afterwards.
    """
    head = (_head(reply), _policy_line(reply), *_control_lines(reply))
    return Group(*head, "", models_table(reply), "", _why(reply), *map(_failure, reply.failures))


def models_table(reply: router_service_pb2.ExplainDecisionResponse) -> Table:
    """A row per model, in the zoo's order."""
    table = Table(box=None, pad_edge=False)
    score = _score_heading(reply)
    for heading in ("model", "satisfaction", "joules", *([score] if score else []), "eligible", "chosen"):
        table.add_column(heading, overflow="fold")
    for one in reply.scores:
        table.add_row(
            Text(one.model_id, "bold" if one.chosen else ""),
            _satisfaction(one),
            f"{one.energy_joules:.4g}",
            *([f"{one.score:.4g}"] if score else []),
            "yes" if one.eligible else "[red]no[/]",
            "[green]yes[/]" if one.chosen else "",
        )
    return table


def _head(reply: router_service_pb2.ExplainDecisionResponse) -> Text:
    decision = reply.decision
    return Text(
        f"Request {decision.request_id}: {decision.model_id}"
        f" for SLA class {decision.sla_class}, alpha = {reply.min_satisfaction:g}, step {decision.step}"
    )


def _policy_line(reply: router_service_pb2.ExplainDecisionResponse) -> Text:
    version = reply.decision.snapshot_version
    return Text(f"Policy {reply.policy}, {f'snapshot {version}' if version else 'nothing learned yet'}")


def _control_lines(reply: router_service_pb2.ExplainDecisionResponse) -> list[Text]:
    """What steers the policy: lambda and the ledger, or V and Q; nothing where the policy has neither."""
    if reply.dual_joules:
        predicted, corrected = reply.decision_debt, reply.debt - reply.decision_debt
        return [
            Text(f"lambda = {reply.dual_joules:.4g} J per unit of satisfaction"),
            Text(
                f"Debt D = {reply.debt:.4g} satisfied requests owed"
                f" ({predicted:.4g} by predictions, {corrected:+.4g} by labels)"
            ),
        ]
    if _score_heading(reply):
        return [Text(f"V = {reply.energy_weight:.4g} 1/J, queue Q = {reply.virtual_queue:.4g}")]
    return []


def _score_heading(reply: router_service_pb2.ExplainDecisionResponse) -> str:
    """What the scores are; "" where the policy has none."""
    if reply.dual_joules:
        return _OF_JOULES
    return _OF_QUEUE if reply.energy_weight else ""


def _satisfaction(one: router_service_pb2.ModelScore) -> str:
    if not one.HasField("satisfaction_variance"):
        return f"{one.satisfaction:.3f}"
    return f"{one.satisfaction:.3f} ± {math.sqrt(one.satisfaction_variance):.3f}"


def _failure(failed: router_service_pb2.FailedGeneration) -> Text:
    tokens = failed.completion_tokens
    when = f"after {tokens} token{'s' if tokens > 1 else ''}" if tokens else "before its first token"
    taken = (
        f"; {failed.next_model_id} took over as {failed.next_generation_id}" if failed.next_model_id else ""
    )
    text = f"Failed: {failed.model_id} ({failed.generation_id}) {when}: {failed.reason}{taken}"
    return Text(text, "red")


def _why(reply: router_service_pb2.ExplainDecisionResponse) -> Text:
    return Text(f"Why: {reply.reason}")
