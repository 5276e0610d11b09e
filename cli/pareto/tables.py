"""A sweep's analysis as tables, for the terminal and for the page."""

from rich.console import JustifyMethod
from rich.table import Table

from planner.pareto.study import Experiment, Study
from planner.pareto.sweep import Estimate, Point

POINT_HEADINGS = (
    "replicas x batch",
    "runs",
    "tokens/s",
    "inter-token",
    "p50, p99",
    "first token",
    "J/token",
    "",
)
GAIN_HEADINGS = ("replicated", "tuned single replica", "throughput", "J/token")
RULE_HEADINGS = ("model", "group", "90 % of throughput at", "rule L=2", "rule L=4", "recommended", "why")


def point_rows(experiment: Experiment) -> list[tuple[str, ...]]:
    """Points as texts, parallel to `POINT_HEADINGS`."""
    on_frontier = {point.configuration for point in experiment.frontier}
    order = sorted(experiment.points, key=lambda p: (p.configuration.replicas, p.configuration.batch))
    return [_point(point, on_frontier=point.configuration in on_frontier) for point in order]


def _point(point: Point, *, on_frontier: bool) -> tuple[str, ...]:
    energy = point.joules_per_token
    return (
        point.configuration.name,
        str(point.repeats),
        _text(point.throughput, 1.0, ",.0f"),
        f"{_text(point.itl, 1e3, '.2f')} ms",
        f"{1e3 * point.itl_p50_seconds:.2f}, {1e3 * point.itl_p99_seconds:.1f} ms",
        f"{_text(point.ttft, 1.0, '.3g')} s",
        "-" if energy is None else _text(energy, 1.0, ".4f"),
        "frontier" if on_frontier else "",
    )


def _text(estimate: Estimate, scale: float, form: str) -> str:
    return f"{estimate.mean * scale:{form}} +- {estimate.half * scale:{form}}"


def gain_rows(experiment: Experiment) -> list[tuple[str, ...]]:
    """Gains of replication as texts, parallel to `GAIN_HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for gain in experiment.gains:
        energy = "not measured"
        if gain.energy is not None:
            energy = f"{100 * gain.energy:+.1f} %" + ("" if gain.energy_is_sure else " (inside the interval)")
        names = gain.replicated.configuration.name, gain.single.configuration.name
        rows.append((*names, f"{100 * gain.throughput:+.1f} %", energy))
    return rows


def rule_rows(study: Study) -> list[tuple[str, ...]]:
    """One line per experiment, parallel to `RULE_HEADINGS`."""
    rows = []
    for experiment in study.experiments:
        chosen = experiment.recommendation.chosen
        rows.append(
            (
                experiment.model,
                experiment.group,
                _maybe(experiment.knee_batch),
                *(_maybe(batch) for batch in experiment.batch_rules.values()),
                "none" if chosen is None else chosen.configuration.name,
                "; ".join(experiment.recommendation.reasons) or "only single replicas were measured",
            )
        )
    return rows


def _maybe(batch: int | None) -> str:
    return "-" if batch is None else str(batch)


def point_table(experiment: Experiment) -> Table:
    """All points of an experiment."""
    title = " ".join(filter(None, (experiment.model, experiment.group)))
    table = Table(title=f"{title}: {len(experiment.frontier)} of {len(experiment.points)} on the frontier")
    for heading in POINT_HEADINGS:
        side: JustifyMethod = "left" if heading in POINT_HEADINGS[::7] else "right"
        table.add_column(heading, justify=side, overflow="fold")
    for row in point_rows(experiment):
        table.add_row(*row)
    return table
