"""The cheapest zoo against exhaustive search, and `messplus plan` as people type it."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from typer.testing import CliRunner

from cli.main import app
from planner.replay.sources.parquet import write_parquet
from planner.zoo_plan import Candidates, candidates_from, cheapest_zoo, hull, only, stability
from tests.unit.replay_data import columns, outcomes

UNLIMITED = float("inf")


def exhaustive(candidates: Candidates, target: float, limit: float) -> float | None:
    """Joules of the best mixture over every subset within memory, each by a linear programme."""
    best = None
    count = len(candidates.model_ids)
    for size in range(1, count + 1):
        for members in map(list, itertools.combinations(range(count), size)):
            if candidates.memory_gb[members].sum() > limit:
                continue
            found = linprog(
                candidates.energy_joules[members],
                A_ub=[-candidates.satisfaction[members]],
                b_ub=[-target],
                A_eq=[np.ones(size)],
                b_eq=[1.0],
            )
            if found.success and (best is None or found.fun < best):
                best = float(found.fun)
    return best


MODEL = st.tuples(st.floats(0.05, 0.95), st.floats(1, 1000), st.integers(1, 50))


@settings(max_examples=40, deadline=None)
@given(st.lists(MODEL, min_size=1, max_size=5), st.floats(0.1, 0.9), st.integers(1, 120))
def test_the_zoo_is_as_cheap_as_exhaustive_search(
    models: list[tuple[float, float, int]], target: float, limit: int
) -> None:
    columns_ = [np.array(column, np.float64) for column in zip(*models, strict=True)]
    candidates = Candidates(tuple(f"m{i}" for i in range(len(models))), *columns_)
    plan, best = cheapest_zoo(candidates, target, limit), exhaustive(candidates, target, limit)
    if plan is None:
        assert min(candidates.memory_gb) > limit
        return
    assert plan.memory_gb <= limit
    assert sum(plan.shares.values()) == pytest.approx(1.0)
    assert plan.reaches == (best is not None)
    if best is not None:
        assert plan.energy_joules == pytest.approx(best, rel=1e-6)


CANDIDATES = Candidates(
    ("small", "medium", "large"),
    np.array([0.4, 0.6, 0.8]),
    np.array([10.0, 20.0, 100.0]),
    np.array([5.0, 20.0, 60.0]),
)


@pytest.mark.parametrize(
    ("target", "limit", "shares", "joules"),
    [
        (0.5, UNLIMITED, {"small": 0.5, "medium": 0.5}, 15.0),
        (0.7, UNLIMITED, {"medium": 0.5, "large": 0.5}, 60.0),
        # Medium and large do not fit together.
        (0.7, 70.0, {"small": 0.25, "large": 0.75}, 77.5),
        (0.7, 60.0, {"large": 1.0}, 100.0),
        (0.6, 20.0, {"medium": 1.0}, 20.0),
    ],
)
def test_memory_decides_which_mixture_is_left(
    target: float, limit: float, shares: dict[str, float], joules: float
) -> None:
    plan = cheapest_zoo(CANDIDATES, target, limit)
    assert plan is not None
    assert plan.shares == pytest.approx(shares)
    assert plan.energy_joules == pytest.approx(joules)
    assert plan.reaches


def test_what_no_zoo_reaches_gives_the_best() -> None:
    plan = cheapest_zoo(CANDIDATES, 0.7, 30.0)
    assert plan is not None
    assert not plan.reaches
    assert (plan.shares, plan.satisfaction) == ({"medium": 1.0}, 0.6)
    assert cheapest_zoo(CANDIDATES, 0.7, 1.0) is None


def test_the_hull_leaves_out_what_a_mixture_beats() -> None:
    assert hull(CANDIDATES) == ("small", "medium", "large")
    flat = Candidates(("a", "b", "c"), np.array([0.4, 0.45, 0.8]), np.array([10.0, 60.0, 100.0]), np.zeros(3))
    assert hull(flat) == ("a", "c")


def test_stability_counts_zoos_of_drawn_requests() -> None:
    data = outcomes(200)
    found = stability(data, candidates_from(data, {}), 0.55, UNLIMITED, 50)
    assert sum(found.values()) == pytest.approx(1.0)
    assert next(iter(found.values())) == max(found.values())


def test_joules_of_a_profile_replace_the_file_s() -> None:
    data = outcomes(20)
    found = candidates_from(data, {}, {"small": np.full(20, 7.0)})
    assert found.energy_joules[data.model_ids.index("small")] == 7.0
    assert only(data, ["large"]).satisfaction.shape == (20, 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "tiny.parquet"
    write_parquet(path, columns(60))
    return path


def plan(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


MEMORY = ["--model-memory", "small=5", "--model-memory", "medium=20", "--model-memory", "large=60"]


def test_the_command_prints_and_writes_with_the_router(file: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "plan.json", tmp_path / "plan.html"
    asked = ("--min-satisfaction", 0.6, "--memory-gb", 90, *MEMORY, "--router-seeds", 1)
    status, output = plan("--outcomes", file, *asked, "--json", out, "--report", page)
    assert status == 0
    assert "Cheapest zoo" in output
    document = json.loads(out.read_text())
    found = document["plans"][0]
    assert found["reaches"]
    assert sum(found["shares"].values()) == pytest.approx(1.0)
    assert found["router"][-1]["models"] == ["small", "medium", "large"]
    assert found["router"][0]["energy_joules"] > 0
    html = page.read_text()
    assert html.count('src="data:image/png;base64,') == 1
    assert not re.search(r'(?:src|href)="(?!data:)', html)


def test_an_unreachable_target_is_said_with_the_best(file: Path) -> None:
    status, output = plan("--outcomes", file, "--min-satisfaction", 0.99, "--memory-gb", 30, *MEMORY)
    assert status == 0
    assert re.search(r"No zoo within 30 GB reaches 99 %: the best, (small|medium), gives", output)


def test_joules_come_from_a_profile(file: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    entry = {"runtime_per_output_token": 0.01, "runtime_for_prompt_tokens": {"20": 0.1, "100": 0.2}}
    profile.write_text(json.dumps({"large": entry}))
    out = tmp_path / "plan.json"
    status, output = plan("--outcomes", file, "--profile", profile)
    assert status == 2
    assert "--board-watts = (not given): needed: large was not metered" in output
    assert plan("--outcomes", file, "--profile", profile, "--board-watts", 100, "--json", out)[0] == 0
    models = json.loads(out.read_text())["models"]
    assert models["large"]["joules_from"] == str(profile)
    assert models["small"]["joules_from"] == "outcomes"
    assert json.loads(out.read_text())["notes"] == [
        "large: 60 prompts are outside the measured 20 to 100 tokens."
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--min-satisfaction", "1.5"], "must be between 0 and 1"),
        (["--memory-gb", "80"], "--model-memory = (not given): MODEL=GB is needed for small, medium, large"),
        (["--memory-gb", "1", *MEMORY], "--memory-gb = 1.0: at least 5: not even one model fits"),
        (["--model-memory", "small"], "--model-memory = small: MODEL=GB"),
        (["--model-memory", "tiny=4"], "--model-memory = tiny: models here: small, medium, large"),
        (["--model-memory", "small=4", "--model-memory", "small=5"], "already stated"),
        (["--outcomes", "none.parquet"], "plan: --outcomes = none.parquet: no such file"),
        (["--board-watts", "300"], "--board-watts = 300.0: turns times of --profile into joules"),
        (["--profile", "none.json"], "none.json: file = not readable: no such file"),
    ],
)
def test_wrong_arguments_end_with_status_2(arguments: list[str], words: str, file: Path) -> None:
    status, output = plan("--outcomes", file, *arguments)
    assert status == 2
    assert words in output
