"""`bench.planner`: what it holds the planner against is right by itself, and what is absent is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.planner_files import _same, idealized_rows
from bench.planner_live import _agreeing, _beaten, errors
from cli.measure.timed_file import Timed
from planner.pareto.rules import Limits
from planner.pareto.sources import Sweep
from planner.pareto.study import Experiment, run_study
from planner.pareto.sweep import Configuration, Run
from planner.runtime.fitting import Measurement
from planner.runtime.profile import Linear
from planner.zoo_plan import Candidates


def test_a_file_of_runtimes_is_judged(tmp_path: Path) -> None:
    table = {str(length): 0.1 + 0.001 * length for length in (1, 64, 128, 256, 512)}
    entry = {"runtime_per_output_token": 0.02, "runtime_for_prompt_tokens": table}
    file = tmp_path / "runtimes.json"
    file.write_text(json.dumps({"a": entry, "b": {**entry, "overhead": 0.3}}, indent=2))
    rows = idealized_rows(file)
    assert [row.value for row in rows[:2]] == [2, 1]
    assert rows[2].value == pytest.approx(0.0, abs=1e-6)


def test_held_out_errors_are_those_of_the_repeats_that_count() -> None:
    timed = [Timed((10, 5), Measurement(10, 5, seconds)) for seconds in (1.0, 1.25, 5.0)]
    law = Linear({10: 0.6, 20: 1.0}, 0.1)
    assert errors(law, timed, "seconds", lambda values: sorted(values)[1]) == [pytest.approx(0.2)]
    assert errors(law, timed, "seconds", min) == [pytest.approx(0.0)]


def test_plans_are_compared_with_every_subset() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        satisfaction, joules = np.sort(generator.random(4)), np.sort(1 + 9 * generator.random(4))
        found = Candidates(tuple("abcd"), satisfaction, joules, np.array([1.0, 2.0, 4.0, 8.0]))
        assert _same(found, float(generator.random()), float(generator.choice([2.0, 6.0, 100.0])))


def experiment(fast: float, joules: float = 0.26, itl: float = 0.03) -> Experiment:
    runs = [
        Run(Configuration("m", "g", batch, 1), 64.0, 32.0, speed * noise, 1.0, gap, gap, gap, spent / noise)
        for batch, speed, gap, spent in ((1, 20.0, 0.03, 0.36), (4, fast, itl, joules))
        for noise in (0.99, 1.0, 1.01)
    ]
    return run_study(Sweep("test", tuple(runs), ()), Limits()).experiments[0]


def test_a_frontier_is_stable_until_the_other_sweep_surely_says_otherwise() -> None:
    one, other = experiment(30.0), experiment(10.0)
    assert _beaten(one, one) == 0
    assert _beaten(one, experiment(30.1)) == 0
    slow_and_hungry = experiment(30.0, joules=0.5, itl=0.05)
    assert _beaten(one, slow_and_hungry) == 0
    assert _beaten(one, experiment(10.0, joules=0.5, itl=0.05)) == 1
    assert _agreeing(one, experiment(30.1)) == (6, 6)
    agree, pairs = _agreeing(one, other)
    assert (agree, pairs) == (5, 6)
