"""The runs behind `docs/evidence.md`: what is run, and each run's numbers, kept so that a stop costs nothing.

A run is known by its settings, the data and all code that it rests on: change any of them and it runs anew.
"""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import planner.replay
import services.core
from planner.replay.features import request_features
from planner.replay.labels import parse_labels
from planner.replay.outcomes import Outcomes
from planner.replay.priors import PriorKind
from planner.replay.sources.parquet import read_parquet
from planner.replay.streams import Order, make_stream
from planner.replay.study import Question, run_one
from services.core.events import FloatArray
from services.router.adapters.static_embedding import CompactFeatures, StaticEmbedding

SEEDS = 5
GRID_SEEDS = 3
ENERGY_WEIGHTS = tuple(10.0**exponent for exponent in range(-7, 2))
"""V of the grid, 1/J: nine decades around both published values."""
PUBLISHED = {"messplus-2024": (0.1, 3.0), "messplus-2025": (1e-4, 0.1)}
"""V (1/J) and c as published."""
EXPLORATION_FACTORS = (0.1, 1.0, 10.0)
"""c of the grid, in published ones."""
REGIMES = ("delayed:200", "partial:0.2", "biased:3", "biased:3+audit:0.02")
_SHUFFLE_SEED = 12345


@dataclass(frozen=True)
class Setting:
    """What sets a run apart, its seed aside. `shuffled` gives requests the features of others: no signal."""

    file: str
    policy: str
    target: float
    order: str = "random"
    labels: str = "full"
    prior: str = "rough"
    energy_weight: float | None = None
    exploration_scale: float | None = None
    class_per_benchmark: bool = False
    shuffled: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        pairs = {"energy_weight": self.energy_weight, "exploration_scale": self.exploration_scale}
        return {name: value for name, value in pairs.items() if value is not None}


@dataclass(frozen=True)
class Result:
    """Numbers of one run; its seconds are of one core; per topic, mean satisfaction of the served answers."""

    joules: float
    satisfaction: float
    exploration_share: float
    shortfall: float | None
    seconds_per_thousand: float
    topics: dict[str, float]


Task = tuple[Setting, int]
Results = dict[Setting, dict[int, Result]]


def all_tasks(targets: dict[str, tuple[float, ...]]) -> list[Task]:
    """Every run, the most telling first."""
    settings = [s for file, alphas in targets.items() for alpha in alphas for s in _of_target(file, alpha)]
    tasks = [(setting, seed) for setting in settings for seed in range(SEEDS)]
    grid = [s for file, alphas in targets.items() for alpha in alphas for s in grid_settings(file, alpha)]
    return tasks + [(setting, seed) for setting in grid for seed in range(GRID_SEEDS)]


def _of_target(file: str, target: float) -> list[Setting]:
    pacer = Setting(file, "pacer", target)
    others = [Setting(file, name, target) for name in (*PUBLISHED, "static-mixture")]
    learners = [pacer, *others[:2]]
    return [
        pacer,
        replace(pacer, prior="none"),
        *others,
        *(replace(one, labels=labels) for one in learners for labels in REGIMES),
        *(replace(one, order=order) for one in learners for order in ("drift", "sorted")),
        *(replace(one, order="sorted", class_per_benchmark=True) for one in learners),
        replace(pacer, shuffled=True),
    ]


def grid_settings(file: str, target: float) -> list[Setting]:
    """The published modes over V and c."""
    return [
        Setting(file, name, target, energy_weight=weight, exploration_scale=factor * scale)
        for name, (_, scale) in PUBLISHED.items()
        for weight in ENERGY_WEIGHTS
        for factor in EXPLORATION_FACTORS
    ]


def run_task(path: Path, setting: Setting, seed: int) -> Result:
    """Runs one on the outcomes of `path`, in whatever process."""
    outcomes, features = _loaded(path)
    if setting.shuffled:
        features = features[np.random.default_rng(_SHUFFLE_SEED).permutation(len(features))]
    order = Order(setting.order)
    question = Question(
        (setting.policy,),
        (setting.target,),
        order,
        parse_labels(setting.labels),
        1,
        PriorKind(setting.prior),
        setting.class_per_benchmark,
        parameters={setting.policy: setting.parameters},
    )
    began = time.process_time()
    run = run_one(outcomes, features, question, setting.policy, setting.target, seed, keep_trace=True)
    seconds = time.process_time() - began
    topics = np.array(outcomes.benchmarks)[make_stream(outcomes, order, seed).indices]
    if run.trace is None:
        raise ValueError("the trace was not kept")
    by_topic = {str(t): float(run.trace.satisfaction[topics == t].mean()) for t in np.unique(topics)}
    metrics = run.metrics
    return Result(
        metrics.energy_joules_per_request,
        metrics.satisfaction,
        metrics.exploration_energy_share,
        metrics.worst_shortfall_after_1000,
        1000.0 * seconds / len(outcomes),
        by_topic,
    )


@cache
def _loaded(path: Path) -> tuple[Outcomes, FloatArray]:
    outcomes = read_parquet(path)
    return outcomes, request_features(outcomes, CompactFeatures(StaticEmbedding()))


class Store:
    """Finished runs in a file of JSON lines, each under the fingerprint of all that it rests on."""

    def __init__(self, path: Path, files: Mapping[str, Path]) -> None:
        self._path, self._code = path, _code_digest()
        self._files = {name: _digest(file.read_bytes()) for name, file in files.items()}
        self._known: dict[str, Result] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self._known[record["key"]] = Result(**record["result"])

    def get(self, task: Task) -> Result | None:
        return self._known.get(self._key(task))

    def add(self, task: Task, result: Result) -> None:
        key = self._key(task)
        self._known[key] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        record = {"key": key, "setting": asdict(task[0]), "seed": task[1], "result": asdict(result)}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def results(self, tasks: Iterable[Task]) -> Results:
        found: Results = {}
        for task in tasks:
            if (result := self.get(task)) is not None:
                found.setdefault(task[0], {})[task[1]] = result
        return found

    def _key(self, task: Task) -> str:
        setting = task[0]
        text = json.dumps([self._code, self._files[setting.file], asdict(setting), task[1]], sort_keys=True)
        return _digest(text.encode())


def _code_digest() -> str:
    """Of all code that decides what a run gives."""
    folders = [Path(next(iter(package.__path__))) for package in (planner.replay, services.core)]
    files = [
        file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in (".py", ".npz")
    ]
    return _digest(b"".join(_digest(file.read_bytes()).encode() for file in files))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def run_all(
    files: Mapping[str, Path],
    tasks: list[Task],
    store: Store,
    workers: int,
    minutes: float,
    done: Callable[[], None],
) -> None:
    """Runs what is missing, until all is done or the time is over; runs under way are finished."""
    missing = [task for task in tasks if store.get(task) is None]
    deadline = time.monotonic() + 60.0 * minutes
    # Fresh processes: a copy of one that already runs threads may never wake up.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[Any], Task] = {}
        while (missing and time.monotonic() < deadline) or running:
            while missing and len(running) < 2 * workers and time.monotonic() < deadline:
                task = missing.pop(0)
                running[pool.submit(run_task, files[task[0].file], *task)] = task
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                store.add(running.pop(future), future.result())
                done()
