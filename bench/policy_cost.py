"""What pacer costs by itself: microseconds of one core to decide and to learn, bytes of its checkpoint.

CPU time of the process: what else runs on the machine does not count.
"""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from bench.report import Row
from services.core.events import Decision, EnergyAttributed, Entry, Event, Label, Position
from services.core.exploration import DecisionRandom
from services.core.features import FEATURE_COUNT
from services.core.fold import Fold
from services.core.policies.base import ClassView, Context, ModelPrior, Policy
from services.core.policies.registry import policy_from_config
from services.core.snapshot import decode_snapshot

_WARM_REQUESTS, _ROUNDS, _CALLS = 1500, 7, 400


def measure_costs() -> list[Row]:
    """Rows for 3 and 10 models, of 27 features, after 1,500 labelled requests; medians of 7 rounds."""
    rows = []
    for models, decide_target in ((3, 40.0), (10, 60.0)):
        fold = _warm(models)
        parts = fold.checkpoint_delta().parts_changed
        rows.append(Row(f"`decide`, {models} models", _decide_us(parts, models), "us", "<=", decide_target))
        rows.append(Row(f"`learn`, {models} models", _learn_us(fold, models), "us", "<=", 400.0))
        if models == 10:
            size = sum(map(len, parts.values())) / 1e6
            rows.append(Row("state checkpoint, 10 models", size, "MB", "<=", 2.0))
    return rows


def _policy(models: int) -> tuple[Policy[Any], tuple[ModelPrior, ...]]:
    priors = tuple(ModelPrior(f"m{i}", 0.4 + 0.04 * i, 10.0 * 1.6**i) for i in range(models))
    return policy_from_config("pacer", {}, [prior.model_id for prior in priors]), priors


def _warm(models: int) -> Fold:
    policy, priors = _policy(models)
    fold = Fold(policy, priors, FEATURE_COUNT)
    for number in range(1, _WARM_REQUESTS + 1):
        for event in _request(models, number):
            fold.apply(Entry(Position(number, fold.position.sequence + 1), event))
    return fold


def _request(models: int, number: int) -> list[Event]:
    """Decision, joules and label of one request, served by the models in turn."""
    rng = np.random.default_rng(number)
    features = np.concatenate([[1.0], rng.normal(size=FEATURE_COUNT - 1).clip(-3, 3)])
    served, names = number % models, tuple(f"m{i}" for i in range(models))
    name, request_id = names[served], f"r{number}"
    decision = Decision(
        request_id=request_id,
        sla_class="all",
        step=number,
        min_satisfaction=0.6,
        snapshot_version=1,
        virtual_queue=0.0,
        decision_debt=0.0,
        step_seen=number,
        seed=number,
        features=features,
        model_ids=names,
        satisfaction_means=(0.6,) * models,
        satisfaction_variances=(0.01,) * models,
        energy_joules=(1.0,) * models,
        eligible=(True,) * models,
        model_id=name,
        generation_id=f"{request_id}.0",
        explored=False,
        charged_satisfaction=0.6,
        policy="pacer",
    )
    joules = float(10.0 * 1.6**served * rng.lognormal(0.0, 0.5))
    label = Label(request_id, f"{request_id}.0", float(rng.random() < 0.4 + 0.04 * served), "client")
    return [decision, EnergyAttributed(request_id, f"{request_id}.0", name, joules), label]


def _decide_us(parts: Mapping[str, bytes], models: int) -> float:
    """On a decoded snapshot, as routers hold it."""
    policy, priors = _policy(models)
    snapshot = decode_snapshot(1, parts, policy, priors, FEATURE_COUNT)
    eligible, view = np.ones(models, bool), ClassView(0.6, 2000, 0.0, 1.0, "all")
    features = np.random.default_rng(0).normal(size=(_CALLS, FEATURE_COUNT))
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for number, x in enumerate(features):
            context = Context(x, snapshot.energy_joules, eligible, view)
            policy.decide(context, snapshot.policy_state, DecisionRandom(number))
        rounds.append((time.process_time() - began) / _CALLS)
    return 1e6 * median(rounds)


def _learn_us(fold: Fold, models: int) -> float:
    """Per request: decision (a 25th of the solutions of lambda), joules and label, through the fold."""
    rounds, number = [], _WARM_REQUESTS
    for _ in range(_ROUNDS):
        requests = [_request(models, number + 1 + i) for i in range(_CALLS)]
        number += _CALLS
        entries = [
            Entry(Position(number, i), event)
            for i, event in enumerate(event for request in requests for event in request)
        ]
        began = time.process_time()
        for entry in entries:
            fold.apply(entry)
        rounds.append((time.process_time() - began) / _CALLS)
    return 1e6 * median(rounds)
