"""`docs/evidence.md` from finished runs. Every number in it is computed here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import policy_words as words
from bench.policy_evidence import KEPT_POINTS, MODES, Evidence, best_in_hindsight, by_weight, final_mean
from bench.policy_runs import ENERGY_WEIGHTS, REGIMES, SEEDS, Result, Setting
from bench.policy_targets import RATIOS, complete, least, mean_joules, target_rows, worst
from bench.report import Row
from planner.replay.hindsight import Bill
from planner.replay.labels import SATISFIED_SHARE
from planner.replay.metrics import SETTLED_REQUESTS, running_mean
from planner.replay.streams import Order, make_stream

BASELINES = ("static-mixture", "domain-mixture", "clairvoyant", "cheapest-single", "random-with-constraint")

_SPARSE_SHARE = 0.2
_LABEL_VARIANCE = 0.22
"""Of a label around its prediction, as measured in runs of `pacer` on mixed3.dev."""


def write_page(path: Path, evidence: Evidence) -> None:
    sections = [
        _head(evidence),
        _data(evidence),
        _targets(evidence),
        _main(evidence),
        _published(evidence),
        _regimes(evidence),
        _orders(evidence),
        _topics(evidence),
        _no_help(evidence),
        _definitions(),
    ]
    path.write_text("\n\n".join(sections) + "\n")


def _head(evidence: Evidence) -> str:
    left = (
        f"\n\n**{evidence.runs_left:,} runs are still missing**: call it again." if evidence.runs_left else ""
    )
    return f"{words.HEAD}{evidence.machine}. {words.ENERGY}{left}"


def _data(evidence: Evidence) -> str:
    rows = [
        (name, f"{len(data):,}", model, f"{100 * mean:.1f} %", f"{joules:.1f}")
        for name, data in evidence.outcomes.items()
        for model, mean, joules in zip(
            data.model_ids, data.satisfaction.mean(axis=0), data.energy_joules.mean(axis=0), strict=True
        )
    ]
    head = ("file", "requests", "model", "right", "J/request")
    baselines = [
        (
            name,
            f"{100 * alpha:g} %",
            *(_bill(evidence.baselines[name, "random"][b][alpha], alpha) for b in BASELINES),
        )
        for name, alpha in evidence.cells
    ]
    return (
        words.DATA + _table(head, rows) + words.BASELINES + _table(("file", "target", *BASELINES), baselines)
    )


def _bill(bill: Bill, alpha: float) -> str:
    missed = "" if bill.satisfaction >= alpha - 1e-6 else f" ({100 * bill.satisfaction:.1f} %)"
    return f"{bill.energy_joules:.1f}{missed}"


def _targets(evidence: Evidence) -> str:
    static = {cell: evidence.static(*cell) for cell in evidence.cells}
    rows = [*target_rows(evidence.results, static), *_replay_rows(evidence), *evidence.costs]
    reached = sum(row.reached for row in rows)
    table = [
        (row.what, f"{row.value:,.3f} {row.unit}".strip(), f"{row.bound} {row.target:g}", _verdict(row))
        for row in rows
    ]
    title = f"## Targets: {reached} of {len(rows)} reached"
    return title + words.TARGETS + _table(("target", "measured", "wanted", "reached"), table)


def _verdict(row: Row) -> str:
    return "yes" if row.reached else "**no**"


def _replay_rows(evidence: Evidence) -> list[Row]:
    found = [
        run.seconds_per_thousand * 7.292
        for setting, runs in evidence.results.items()
        if setting.policy == "pacer" and setting.file == "mixed3.dev"
        for run in runs.values()
    ]
    return (
        [Row("replay of 7,292 requests x 3 models, `pacer`, slowest, one core", max(found), "s", "<", 20.0)]
        if found
        else []
    )


def _main(evidence: Evidence) -> str:
    rows = []
    for file, alpha in evidence.cells:
        base = Setting(file, "pacer", alpha)
        for setting in (
            base,
            replace(base, prior="none"),
            *(replace(base, policy=p) for p in (*MODES, "static-mixture")),
        ):
            if runs := complete(evidence.results, setting):
                name = "pacer, no prior" if setting.prior == "none" else setting.policy
                rows.append((file, f"{100 * alpha:g} %", name, *_numbers(evidence, setting, runs)))
    limits = [
        (file, f"{100 * a:g} %", f"{must:.2f}", f"{excellent:.2f}", f"{limit:.2f}")
        for (file, a), (must, excellent, limit) in RATIOS.items()
        if file in evidence.targets
    ]
    pictures = "\n\n".join(
        f"![Energy against target, {file}](evidence/energy-{file}.png)" for file in evidence.targets
    )
    head = ("file", "target", "policy", "J/request (seeds)", "/ static mixture", "final mean", "worst seed")
    return "\n\n".join(
        (
            "## Random order, full labels",
            _table((*head, "worst shortfall", "exploration"), rows),
            pictures + words.LIMITS.rstrip("\n"),
            _table(("file", "target", "must", "excellent", "offline limit"), limits),
        )
    )


def _numbers(evidence: Evidence, setting: Setting, runs: dict[int, Result]) -> tuple[str, ...]:
    joules = [run.joules for run in runs.values()]
    mean, final = sum(joules) / len(joules), sum(run.satisfaction for run in runs.values()) / len(runs)
    share = sum(run.exploration_share for run in runs.values()) / len(runs)
    return (
        f"{mean:.1f} ({min(joules):.1f} to {max(joules):.1f})",
        f"{mean / evidence.static(setting.file, setting.target, setting.order):.3f}",
        f"{100 * final:.2f} %",
        f"{least(runs, setting.target):+.2f}",
        f"{worst(runs):.2f}",
        f"{100 * share:.1f} %",
    )


def _published(evidence: Evidence) -> str:
    rows, grid = [], []
    for mode in MODES:
        for file, alpha in evidence.cells:
            rows += _published_row(evidence, mode, file, alpha)
            grid += _grid_row(evidence, mode, file, alpha)
    weights = [f"V {weight:g}" for weight in ENERGY_WEIGHTS]
    head = ("mode", "file", "target", "published / static", "served only", "final")
    return (
        words.PUBLISHED
        + _table((*head, "best / static", "V", "c", "final"), rows)
        + words.GRID
        + _table(("mode", "file", "target", *weights), grid)
        + words.ONE_OVER_JOULES
    )


def _published_row(evidence: Evidence, mode: str, file: str, alpha: float) -> list[tuple[str, ...]]:
    runs = complete(evidence.results, Setting(file, mode, alpha))
    best = best_in_hindsight(evidence, mode, file, alpha)
    if runs is None or best is None:
        return []
    static = evidence.static(file, alpha)
    served = sum(run.joules * (1.0 - run.exploration_share) for run in runs.values()) / len(runs)
    setting, found = best
    final = sum(run.satisfaction for run in runs.values()) / len(runs)
    return [
        (
            mode,
            file,
            f"{100 * alpha:g} %",
            f"{mean_joules(runs) / static:.2f}",
            f"{served / static:.2f}",
            f"{100 * final:.1f} %",
            f"{mean_joules(found) / static:.2f}",
            f"{setting.energy_weight:g}",
            f"{setting.exploration_scale:g}",
            f"{100 * final_mean(found):.1f} %",
        )
    ]


def _grid_row(evidence: Evidence, mode: str, file: str, alpha: float) -> list[tuple[str, ...]]:
    points = by_weight(evidence, mode, file, alpha)
    if len(points) < len(ENERGY_WEIGHTS):
        return []
    cells = [
        f"{ratio:.2f}" if points_above >= KEPT_POINTS else f"({ratio:.2f})"
        for _, ratio, points_above in points
    ]
    return [(mode, file, f"{100 * alpha:g} %", *cells)]


def _regimes(evidence: Evidence) -> str:
    rows = []
    for file, alpha in evidence.cells:
        for policy in ("pacer", *MODES):
            full = complete(evidence.results, Setting(file, policy, alpha))
            for labels in REGIMES:
                runs = complete(evidence.results, Setting(file, policy, alpha, labels=labels))
                if full and runs:
                    cost = f"{mean_joules(runs) / mean_joules(full):.2f}"
                    final = f"{100 * final_mean(runs):.2f} %"
                    shortfall = f"{worst(runs):.2f}"
                    rows.append(
                        (
                            file,
                            f"{100 * alpha:g} %",
                            policy,
                            labels,
                            cost,
                            final,
                            f"{least(runs, alpha):+.2f}",
                            shortfall,
                        )
                    )
    head = (
        "file",
        "target",
        "policy",
        "labels",
        "energy / full labels",
        "final mean",
        "worst seed",
        "worst shortfall",
    )
    return _luck_of_labels(evidence) + _table(head, rows)


def _luck_of_labels(evidence: Evidence) -> str:
    lacking = (1.0 - _SPARSE_SHARE) / _SPARSE_SHARE
    points = {
        name: 100.0 * np.sqrt(_LABEL_VARIANCE * lacking / len(data))
        for name, data in evidence.outcomes.items()
    }
    luck = ", ".join(f"{value:.1f} points on {name}" for name, value in points.items())
    return words.REGIMES.format(variance=_LABEL_VARIANCE, share=_SPARSE_SHARE, luck=luck)


def _orders(evidence: Evidence) -> str:
    rows = []
    for file, alpha in evidence.cells:
        reachable = {"sorted": _always_best(evidence, file, alpha)}
        for policy in ("pacer", *MODES):
            for order in ("drift", "sorted"):
                setting = Setting(file, policy, alpha, order=order)
                if runs := complete(evidence.results, setting):
                    numbers = _numbers(evidence, setting, runs)[1:5]
                    rows.append(
                        (file, f"{100 * alpha:g} %", order, policy, *numbers, reachable.get(order, ""))
                    )
    head = (
        "file",
        "target",
        "order",
        "policy",
        "/ static mixture",
        "final mean",
        "worst seed",
        "worst shortfall",
    )
    return words.ORDERS + _table((*head, "always the best"), rows)


def _always_best(evidence: Evidence, file: str, alpha: float) -> str:
    data = evidence.outcomes[file]
    best = int(data.satisfaction.mean(axis=0).argmax())
    shortfalls = [
        100 * float((alpha - running_mean(stream.satisfaction[:, best])[SETTLED_REQUESTS:]).max(initial=0.0))
        for stream in (make_stream(data, Order.SORTED, seed) for seed in range(SEEDS))
    ]
    return f"{max(shortfalls):.2f}"


def _topics(evidence: Evidence) -> str:
    rows = []
    for file, alpha in evidence.cells:
        data = evidence.outcomes[file]
        topics = np.array(data.benchmarks)
        one = complete(evidence.results, Setting(file, "pacer", alpha, order="sorted"))
        own = complete(
            evidence.results, Setting(file, "pacer", alpha, order="sorted", class_per_benchmark=True)
        )
        for topic in np.unique(topics).tolist():
            if one and own:
                best = float(data.satisfaction[topics == topic].mean(axis=0).max())
                values = [
                    100 * sum(r.topics[topic] for r in runs.values()) / len(runs) for runs in (one, own)
                ]
                lack = values[1] - 100 * min(alpha, best)
                count = f"{int((topics == topic).sum()):,}"
                shown = [f"{value:.1f} %" for value in (*values, 100 * best)]
                rows.append((file, f"{100 * alpha:g} %", topic, count, *shown, f"{lack:+.1f}"))
    head = (
        "file",
        "target",
        "topic",
        "requests",
        "one class",
        "a class per topic",
        "best model",
        "beyond what can be",
    )
    return words.TOPICS + _table(head, rows)


def _no_help(evidence: Evidence) -> str:
    rows = []
    for file, alpha in evidence.cells:
        real, none = (
            complete(evidence.results, Setting(file, "pacer", alpha, shuffled=s)) for s in (False, True)
        )
        if real and none:
            static, domain = (
                evidence.baselines[file, "random"][b][alpha] for b in ("static-mixture", "domain-mixture")
            )
            ratios = (mean_joules(real), mean_joules(none), domain.energy_joules)
            shown = [f"{joules / static.energy_joules:.3f}" for joules in ratios]
            rows.append((file, f"{100 * alpha:g} %", *shown, f"{least(none, alpha):+.2f}"))
    head = ("file", "target", "pacer", "pacer, features shuffled", "domain mixture", "worst seed, shuffled")
    return words.NO_HELP + _table(head, rows)


def _definitions() -> str:
    return words.DEFINITIONS.format(satisfied=100 * SATISFIED_SHARE)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
