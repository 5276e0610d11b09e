"""What the planner makes of published files, against what they are known to say."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bench.report import Row
from planner.pareto.rules import Limits
from planner.pareto.sources import read_sweep
from planner.pareto.study import Experiment, Study, run_study
from planner.replay.outcomes import Outcomes
from planner.replay.sources.parquet import read_parquet
from planner.runtime.evaluation import ESTIMATORS, leave_one_out
from planner.runtime.helm import profiles_text, read_profiles
from planner.runtime.profile import helm_lookup
from planner.zoo_plan import Candidates, candidates_from, cheapest_zoo

PROMPTS = (1, 31, 64, 100, 256, 511, 700, 1024, 1500, 2048, 5000)
OUTPUTS = (0, 1, 2, 17, 64, 300)
REPLICATION, BACKGROUND = "replication/overall_metrics", "background"
_MEMORY_GB = (5.0, 18.0, 54.0)
_ONLY_MEMORY = (1e9, 60.0, 20.0)


def idealized_rows(file: Path) -> list[Row]:
    profiles = read_profiles(file)
    content = json.loads(file.read_text())
    exact = sum(
        all(
            helm_lookup(profile.seconds, p, o) == published(content[name], p, o)
            for p in PROMPTS
            for o in OUTPUTS
        )
        for name, profile in profiles.items()
    )
    same_text = profiles_text(profiles).strip() == file.read_text().strip()
    found = {
        name: leave_one_out([p.seconds.for_prompt for p in profiles.values()], term)
        for name, term in ESTIMATORS.items()
    }
    rows = [
        Row("HELM's deployments whose lookups agree to the last bit", exact, "", "==", 19),
        Row("their file written back, byte for byte (1: yes)", float(same_text), "", "==", 1),
    ]
    for what, target in (("mean", 4.0), ("p95", 12.0)):
        value = {name: 100 * getattr(error, what) for name, error in found.items()}
        others = f"lookup {value['helm']:.1f} %, linear {value['linear']:.1f} %"
        label = f"prompt lengths left out, {what} error ({others})"
        rows.append(Row(label, value["default"], "%", "<=", target))
    return rows


def published(entry: dict[str, Any], prompt_tokens: int, output_tokens: int) -> float:
    """HELM's own lookup, written down once more from its JSON."""
    table = {int(tokens): seconds for tokens, seconds in entry["runtime_for_prompt_tokens"].items()}
    fitting = [tokens for tokens in sorted(table) if tokens >= prompt_tokens]
    key = fitting[0] if fitting else max(table)
    runtime: float = table[key] * (prompt_tokens / key)
    if output_tokens > 0:
        runtime += entry["runtime_per_output_token"] * (output_tokens - 1)
    return runtime + entry["overhead"] if "overhead" in entry else runtime


def pareto_rows(file: Path) -> list[Row]:
    study = run_study(read_sweep(file), Limits())
    replicated = {p.configuration.name: p for p in _experiment(study, "opt-1.3b", REPLICATION).points}
    rows = batch_rows(_experiment(study, "opt-1.3b", BACKGROUND))
    rows += [
        Row(f"OPT-1.3B {name}", round(replicated[name].throughput.mean, digits), "tok/s", "==", value)
        for name, digits, value in (("1x768", 0, 7956), ("2x256", -1, 10640), ("4x256", -1, 10680))
    ]
    published_gains = (
        ("1.3b", False, 33.7),
        ("1.3b", True, 23.6),
        ("2.7b", False, 22.0),
        ("2.7b", True, 8.9),
    )
    return rows + [_gain_row(study, *gain) for gain in published_gains]


def batch_rows(experiment: Experiment) -> list[Row]:
    """One replica over batch sizes."""
    batches = {point.configuration.name: point for point in experiment.points}
    joules = {name: p.joules_per_token.mean for name, p in batches.items() if p.joules_per_token}
    least = min(joules, key=joules.__getitem__)
    throughput = {name: round(batches[name].throughput.mean) for name in ("1x1", "1x640")}
    rules = experiment.batch_rules
    return [
        Row("OPT-1.3B 1x1", throughput["1x1"], "tok/s", "==", 277),
        Row("OPT-1.3B 1x640", throughput["1x640"], "tok/s", "==", 8196),
        Row("OPT-1.3B 1x1", round(joules["1x1"], 2), "J/token", "==", 0.93),
        Row(f"OPT-1.3B {least}, the least", round(joules[least], 3), "J/token", "==", 0.042),
        Row("OPT-1.3B 90 % of throughput at batch", experiment.knee_batch or 0, "", "==", 192),
        Row("batch rule, L=2", rules[2.0] or 0, "", "==", 96),
        Row("batch rule, L=4", rules[4.0] or 0, "", "==", 256),
    ]


def _gain_row(study: Study, model: str, chunked: bool, target: float) -> Row:
    """Gain of 2x256 over the tuned single replica: how far it is from what is published, in points."""
    gains = [
        gain
        for gain in _experiment(study, f"opt-{model}", REPLICATION).gains
        if gain.replicated.configuration.name == "2x256"
        and (gain.single.configuration.variant == "chunked") == chunked
    ]
    percent = 100 * gains[0].throughput
    over = gains[0].single.configuration.name
    return Row(
        f"OPT-{model.upper()} 2x256 over {over}: {percent:+.1f} %, from {target:+}",
        abs(percent - target),
        "points",
        "<=",
        0.5,
    )


def _experiment(study: Study, model: str, group: str) -> Experiment:
    return next(found for found in study.experiments if (found.model, found.group) == (model, group))


def zoo_rows(*files: Path) -> list[Row]:
    """Plans against a linear programme over every subset, at several targets and memory limits."""
    rows = []
    for file in files:
        found = _candidates(read_parquet(file))
        low, high = float(found.satisfaction.min()), float(found.satisfaction.max())
        cases = [
            (low + share * (high - low), limit) for share in (0.25, 0.5, 0.75, 0.9) for limit in _ONLY_MEMORY
        ]
        same = sum(_same(found, target, limit) for target, limit in cases)
        rows.append(
            Row(f"zoos of {file.stem} as by exhaustive search, of {len(cases)}", same, "", "==", len(cases))
        )
    return rows


def _candidates(data: Outcomes) -> Candidates:
    return candidates_from(data, dict(zip(data.model_ids, _MEMORY_GB, strict=True)))


def _same(candidates: Candidates, target: float, limit: float) -> bool:
    """Whether the plan has the joules and the mixture of the best subset."""
    plan, best = cheapest_zoo(candidates, target, limit), _exhaustive(candidates, target, limit)
    if plan is None or best is None:
        return (plan is None or not plan.reaches) and best is None
    joules, shares = best
    planned = [plan.shares.get(model, 0.0) for model in candidates.model_ids]
    return bool(np.isclose(plan.energy_joules, joules, rtol=1e-9) and np.allclose(planned, shares, atol=1e-6))


def _exhaustive(candidates: Candidates, target: float, limit: float) -> tuple[float, list[float]] | None:
    best: tuple[float, list[float]] | None = None
    count = len(candidates.model_ids)
    for members in itertools.chain.from_iterable(
        itertools.combinations(range(count), size) for size in range(1, count + 1)
    ):
        chosen = list(members)
        if candidates.memory_gb[chosen].sum() > limit:
            continue
        found = linprog(
            candidates.energy_joules[chosen],
            A_ub=[-candidates.satisfaction[chosen]],
            b_ub=[-target],
            A_eq=[np.ones(len(chosen))],
            b_eq=[1.0],
        )
        if found.success and (best is None or found.fun < best[0] - 1e-9):
            shares = [0.0] * count
            for place, share in zip(chosen, found.x, strict=True):
                shares[place] = float(share)
            best = float(found.fun), shares
    return best
