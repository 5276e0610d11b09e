"""`python -m bench.energy_model`: how far joules are from what was expected before the request ran.

Needs `../shared/data` (see `--data`): the step law is fitted to measurements of all batch sizes but one and
asked for that one; the models of a request's joules learn online from recorded outcomes, every model's
answer to every request, in a random order, and are judged on the second half.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.report import Row, table
from planner.replay.features import request_features
from planner.replay.outcomes import Outcomes
from planner.replay.sources.parquet import read_parquet
from services.core.energy_model import EnergyModel, fitted_step_law
from services.core.events import FloatArray
from services.core.policies.energy_head import EnergyHead
from services.core.policies.pacer_parameters import PacerParameters
from services.core.steps import StepCoefficients
from services.core.weight_prior import WeightPrior
from services.router.adapters.static_embedding import CompactFeatures, StaticEmbedding

ROOT = Path(__file__).resolve().parent.parent
STEPS, OUTCOMES = "energy/llm_joules_a100_h100.csv", "outcomes/mixed3.dev.parquet"
MOST_MEDIAN_ERRORS = (0.36, 0.47, 0.41)
MOST_SUM_ERROR = 0.05
_GROUP = ("suite", "task", "Model", "GPU", "TP", "PP")
_LEAST_BATCH_SIZES = 3
_ONLY_TOKENS_COST = StepCoefficients(0.0, 0.0, 1.0, 0.0, 0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.energy_model", description="Expected against true joules.")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data"
    )
    parser.add_argument("--seeds", type=int, default=5, help="random orders, >= 1")
    options = parser.parse_args(arguments)
    steps, outcomes = options.data / STEPS, options.data / OUTCOMES
    if missing := [str(path) for path in (steps, outcomes) if not path.exists()]:
        print(f"missing: {', '.join(missing)}; say with --data where the data is")
        return 2
    console = Console()
    errors, groups = step_law_errors(read_steps(steps))
    console.print(f"step law: {len(errors)} predictions in {groups} groups of one model on one kind of GPU")
    found = [Row("step law, left-out batch size: median error", float(np.median(errors)), "", "<=", 0.1)]
    data = read_parquet(outcomes)
    found += online_rows(data, options.seeds)
    console.print(table(found))
    console.print("without features (a constant per model): " + _constants(data))
    return 0 if all(row.reached for row in found) else 1


def read_steps(path: Path) -> dict[tuple[str, ...], list[tuple[float, float]]]:
    """(mean batch size, J per output token) of every run, by model, GPU and task."""
    groups = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            point = float(row["Avg BS (reqs)"]), float(row["J_per_output_token"])
            groups[tuple(row[name] for name in _GROUP)].append(point)
    return groups


def step_law_errors(groups: dict[tuple[str, ...], list[tuple[float, float]]]) -> tuple[list[float], int]:
    """|predicted / measured - 1| of every run, from the other runs of its group; how many groups."""
    errors, judged = [], [points for points in groups.values() if len(points) >= _LEAST_BATCH_SIZES]
    for points in judged:
        for left_out, (size, joules) in enumerate(points):
            others = [point for place, point in enumerate(points) if place != left_out]
            law = fitted_step_law(*zip(*others, strict=True))
            errors.append(abs(law.joules_per_token(size - 1.0) / joules - 1.0))
    return errors, len(judged)


def online_rows(data: Outcomes, seeds: int) -> list[Row]:
    """Both ways to learn, each in as many random orders."""
    features = request_features(data, CompactFeatures(StaticEmbedding()))
    orders = [np.random.default_rng(seed).permutation(len(data)) for seed in range(seeds)]
    found = []
    for name, learn in (("energy model", tokens_then_joules), ("head of pacer", joules_at_once)):
        results = [judge(data, order, *learn(data, features, order)) for order in orders]
        found += rows(name, data.model_ids, results)
    return found


Predictions = tuple[FloatArray, FloatArray]
"""Median and mean joules, each of shape (n, M), in the order of arrival."""


def tokens_then_joules(data: Outcomes, features: FloatArray, order: FloatArray) -> Predictions:
    """`EnergyModel`: answers' lengths from features, joules from lengths; nothing is known beforehand.

    Of these data joules are those of output tokens at one batch size, so prompt and load stay out.
    """
    count, idle = len(data.model_ids), [0.0] * len(data.model_ids)
    width = features.shape[1]
    model = EnergyModel([_ONLY_TOKENS_COST] * count, [None] * count, width, _prior(width))
    medians, means = np.empty((2, len(data), count))
    for place, request in enumerate(order.tolist()):
        expected = model.expect(features[request], 0.0, idle)
        medians[place], means[place] = expected.median_joules, expected.mean_joules
        for m in range(count):
            tokens = float(data.tokens[request, m, 1])
            model.learn_outcome(m, features[request], tokens)
            model.learn_energy(m, 0.0, tokens, 0.0, float(data.energy_joules[request, m]))
    return medians, means


def joules_at_once(data: Outcomes, features: FloatArray, order: FloatArray) -> Predictions:
    """`EnergyHead` alone, as `pacer` has it: joules from features."""
    count, width = len(data.model_ids), features.shape[1]
    head = EnergyHead.initial([None] * count, width, _prior(width))
    medians, means = np.empty((2, len(data), count))
    for place, request in enumerate(order.tolist()):
        logs = head.belief.mean @ features[request]
        medians[place], means[place] = np.exp(logs), np.exp(logs + head.log_scale)
        for m in range(count):
            head.learn(m, features[request], float(data.energy_joules[request, m]))
    return medians, means


def _prior(width: int) -> WeightPrior:
    return PacerParameters().energy_prior(width)


@dataclass(frozen=True)
class Judged:
    """Per model, over the second half."""

    median_error: FloatArray
    sum_ratio: FloatArray


def judge(data: Outcomes, order: FloatArray, medians: FloatArray, means: FloatArray) -> Judged:
    """median |ln(predicted median / true)| and sum(predicted mean) / sum(true)."""
    half = slice(len(order) // 2, None)
    true = data.energy_joules[order][half]
    errors = np.abs(np.log(medians[half] / true))
    return Judged(np.median(errors, axis=0), means[half].sum(axis=0) / true.sum(axis=0))


def rows(name: str, model_ids: Sequence[str], results: list[Judged]) -> list[Row]:
    """The worst of all orders, which every other one is at least as good as."""
    errors = np.max([result.median_error for result in results], axis=0)
    sums = np.max([np.abs(result.sum_ratio - 1.0) for result in results], axis=0)
    found = []
    for m, model in enumerate(model_ids):
        label = f"{name}, {model}: worst of {len(results)} orders,"
        found.append(
            Row(f"{label} median |ln(predicted/true)|", float(errors[m]), "", "<=", MOST_MEDIAN_ERRORS[m])
        )
        found.append(Row(f"{label} |sum ratio - 1|", float(sums[m]), "", "<=", MOST_SUM_ERROR))
    return found


def _constants(data: Outcomes) -> str:
    logs = np.log(data.energy_joules)
    errors = np.median(np.abs(logs - np.median(logs, axis=0)), axis=0)
    return ", ".join(f"{model} {error:.2f}" for model, error in zip(data.model_ids, errors, strict=True))


if __name__ == "__main__":
    sys.exit(main())
