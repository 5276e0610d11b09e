"""The tables of `messplus status`."""

from collections.abc import Mapping

from messplus.energy.v1 import energy_service_pb2
from messplus.feedback.v1 import feedback_service_pb2
from messplus.router.v1 import router_service_pb2
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.status.fetch import SystemStatus


def status_view(status: SystemStatus) -> RenderableType:
    """Everything that is known of the system."""
    parts: list[RenderableType] = [
        _head(status),
        "",
        sla_table(status.sla),
        "",
        models_table(status.models),
        "",
        _learner_line(status.learner),
        _energy_lines(status.meters),
    ]
    return Group(*parts)


def sla_table(sla: router_service_pb2.GetSlaStatusResponse) -> Table:
    """A row per SLA class."""
    table = Table(title="SLA classes", title_justify="left", box=None, pad_edge=False)
    columns = ("class", "satisfaction", "target", "queue", "requests", "labelled", "J/request", "exploration")
    for heading in (*columns, "shares"):
        table.add_column(heading, overflow="fold")
    for one in sla.classes:
        table.add_row(
            one.sla_class,
            _satisfaction(one),
            f"{one.min_satisfaction:.2f}",
            f"{one.virtual_queue:.2f}",
            str(one.steps),
            str(one.labelled),
            f"{one.energy_joules / one.steps:.2f}" if one.steps else "-",
            _exploration(one),
            shares_text(one.model_shares),
        )
    return table


def models_table(models: router_service_pb2.ListModelsResponse) -> Table:
    """A row per model of the zoo."""
    table = Table(title="Models", title_justify="left", box=None, pad_edge=False)
    for heading in ("model", "ready", "running", "waiting", "mean J", "samples", "detail"):
        table.add_column(heading, overflow="fold")
    for model in models.models:
        table.add_row(
            model.model_id,
            "[green]yes[/]" if model.ready else "[red]no[/]",
            str(model.running),
            str(model.waiting),
            f"{model.mean_energy_joules:.2f}",
            str(model.energy_samples),
            Text(model.detail),
        )
    return table


def shares_text(shares: Mapping[str, float]) -> str:
    """Shares of served requests, largest first, for example "a 75 %, b 25 %"."""
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{model} {share:.0%}".replace("%", " %") for model, share in ordered if share > 0)


def _head(status: SystemStatus) -> str:
    degraded = ", [bold red]degraded: the event log is out of reach[/]" if status.sla.degraded else ""
    return f"router {status.router_address}, snapshot {status.sla.snapshot_version}{degraded}"


def _satisfaction(one: router_service_pb2.SlaStatus) -> str:
    if not one.HasField("mean_satisfaction"):
        return "-"
    style = "green" if one.mean_satisfaction >= one.min_satisfaction else "red"
    return f"[{style}]{one.mean_satisfaction:.3f}[/]"


def _exploration(one: router_service_pb2.SlaStatus) -> str:
    share = one.exploration_energy_joules / one.energy_joules if one.energy_joules else 0.0
    return f"{one.explorations} ({share:.0%} of J)".replace("%", " %")


def _learner_line(learner: feedback_service_pb2.GetLearnerStatusResponse | str) -> str:
    if isinstance(learner, str):
        return f"[red]{learner}[/]"
    lag_seconds = learner.lag_time.ToTimedelta().total_seconds()
    dead = f", [red]{learner.dead_events} events could not be processed[/]" if learner.dead_events else ""
    return (
        f"Learner: {learner.lag_events} events ({lag_seconds:.1f} s) behind, {learner.labels_learned} labels "
        f"learned, {learner.open_joins} requests open{dead}"
    )


def _energy_lines(meters: energy_service_pb2.GetMetersResponse | str) -> RenderableType:
    if isinstance(meters, str):
        return f"[red]{meters}[/]"
    measured = sum(meter.measured_joules for meter in meters.meters)
    attributed = sum(meter.attributed_joules for meter in meters.meters)
    rest: dict[str, float] = {}
    for meter in meters.meters:
        for reason, joules in meter.unattributed_joules.items():
            rest[reason] = rest.get(reason, 0.0) + joules
    reasons = ", ".join(f"{reason} {joules:.1f} J" for reason, joules in sorted(rest.items()))
    lines = [
        f"Energy: {measured:.1f} J measured = {attributed:.1f} J attributed + {sum(rest.values()):.1f} J not"
        + (f" ({reasons})" if reasons else "")
    ]
    lines += [
        f"[red]meter {meter.meter_id} is unavailable: {meter.detail}[/]"
        for meter in meters.meters
        if not meter.available
    ]
    lines += [
        f"[yellow]meter {meter.meter_id} is suspect: {meter.suspect}[/]"
        for meter in meters.meters
        if meter.suspect
    ]
    return Group(*lines)
