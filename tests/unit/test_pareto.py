"""Sweeps: reading, noise, frontier, batch rule, gains and what is recommended."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from planner.pareto.frontier import frontier, objectives, surely_beats
from planner.pareto.rules import Gain, Limits, Memory, batch_rule, batch_sweep, gains, knee, recommend
from planner.pareto.sources import read_sweep
from planner.pareto.study import run_study
from planner.pareto.sweep import Point, Run, points, pooled_noise
from services.core.errors import ConfigError
from tests.unit.pareto_sweep import BATCHES, VLLM_HEADER, own_csv, run, throughput, vllm_line, vllm_lines


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "sweep.csv"
    path.write_text("\n".join(vllm_lines()) + "\n")
    return path


def _names(gain: Gain) -> tuple[str, str]:
    return gain.replicated.configuration.name, gain.single.configuration.name


def measured(*runs: Run) -> tuple[Point, ...]:
    return points(runs, pooled_noise(runs))


def test_the_published_table_is_read_with_its_replicas_and_variants(file: Path) -> None:
    sweep = read_sweep(file)
    found = {run.configuration for run in sweep.runs}
    assert {c.name for c in found if c.group == "replication/all"} == {
        "1x512",
        "1x512 chunked",
        "2x256",
        "4x256",
    }
    assert {c.batch for c in found if c.group == "background"} == set(BATCHES)
    assert {c.model for c in found} == {"toy"}
    assert sweep.runs[0].prompt_tokens == 100.0
    assert sweep.runs[0].itl_seconds == pytest.approx(1 / throughput(1))


def test_batch_rule_and_knee_follow_their_definitions(file: Path) -> None:
    background = run_study(read_sweep(file), Limits(), groups=("background",)).experiments[0]
    sweep = batch_sweep(background.points)
    assert list(sweep) == list(BATCHES)
    for factor in (2.0, 4.0):
        # ITL(B) is proportional to 1 + B / 30 here.
        allowed = [
            b for b in BATCHES if 1 + b / 30 <= factor * (1 + 32 / 30) and throughput(b) / (b * 270) > 0.1
        ]
        assert batch_rule(sweep, factor) == max(allowed)
    assert knee(sweep) == min(b for b in BATCHES if throughput(b) >= 0.9 * throughput(512))
    assert batch_rule({b: p for b, p in sweep.items() if b != 32}, 2.0) is None


def test_replicas_are_compared_with_the_tuned_single_one(file: Path) -> None:
    experiment = run_study(read_sweep(file), Limits(), groups=("replication/all",)).experiments[0]
    found = {_names(gain): gain for gain in gains(experiment.points)}
    gain = found["2x256", "1x512"]
    assert gain.throughput == pytest.approx(1.35 / 1.02 * throughput(256) / throughput(512) - 1)
    assert gain.energy == pytest.approx(0.0525 / 0.052 - 1)
    assert not gain.energy_is_sure
    assert found["4x256", "1x512"].energy_is_sure
    assert found["2x256", "1x512 chunked"].throughput < gain.throughput
    advice = experiment.recommendation
    assert advice.chosen is not None
    assert advice.baseline is not None
    assert (advice.chosen.configuration.name, advice.baseline.configuration.name) == (
        "2x256",
        "1x512 chunked",
    )
    assert "4x256 against 2x256" in advice.reasons[1]
    assert "no more replicas" in advice.reasons[1]


def test_limits_are_kept_and_where_nothing_keeps_them_the_best_is_said(file: Path) -> None:
    experiment = run_study(read_sweep(file), Limits(), groups=("replication/all",)).experiments[0]
    small = Memory(20e9, 5e9, 1e5)
    advice = recommend(experiment.points, Limits(memory=small))
    assert advice.chosen is not None
    assert small.needed_bytes(advice.chosen) == 5e9 + 512 * 250 * 1e5
    assert advice.chosen.configuration.name == "1x512 chunked"
    nothing = recommend(experiment.points, Limits(max_itl_seconds=1e-6))
    assert nothing.chosen is None
    assert "the least inter-token latency is" in nothing.reasons[0]
    nowhere = recommend(experiment.points, Limits(memory=Memory(1e9, 5e9, 1e5)))
    assert "the least memory that any needs is 17.8 GB" in nowhere.reasons[0]


def test_noise_is_pooled_over_what_was_run_twice() -> None:
    runs = [run(1, 1, 100.0, 0.01), run(1, 1, 110.0, 0.01), run(2, 1, 200.0, 0.01)]
    noise = pooled_noise(runs)
    assert noise.freedom == 1
    assert noise.shares["tokens_per_second"] == pytest.approx(2**0.5 * 5 / 105)
    once, twice = noise.half("tokens_per_second", 100.0, 1), noise.half("tokens_per_second", 100.0, 2)
    assert once == pytest.approx(twice * 2**0.5)
    assert pooled_noise(runs[1:]).freedom == 0


def test_noise_makes_no_frontier_point() -> None:
    # The larger batch has .5 % more throughput, far inside the noise, for three times the latency.
    better, by_chance = run(64, 1, 1000.0, 0.010), run(256, 1, 1005.0, 0.030)
    assert [p.configuration.batch for p in frontier(measured(better, by_chance))] == [64]
    sure = run(256, 1, 1500.0, 0.030)
    assert [p.configuration.batch for p in frontier(measured(better, sure))] == [64, 256]


def test_energy_that_was_not_measured_is_not_compared() -> None:
    first, second = run(1, 1, 100.0, 0.01, joules=float("nan")), run(2, 1, 150.0, 0.01, joules=9.0)
    assert [p.configuration.batch for p in frontier(measured(first, second))] == [2]


@given(
    st.lists(st.tuples(st.floats(1, 100), st.floats(0.01, 1), st.floats(0.1, 10)), min_size=2, max_size=12)
)
def test_every_frontier_has_points_that_none_of_it_surely_beats(
    rows: list[tuple[float, float, float]],
) -> None:
    found = measured(*(run(i + 1, 1, *row) for i, row in enumerate(rows)))
    front = frontier(found)
    assert max(p.throughput.mean for p in front) >= 0.9 * max(p.throughput.mean for p in found)
    for point in front:
        values = objectives(point, with_energy=True)
        assert not any(surely_beats(objectives(p, with_energy=True), values) for p in front)


def test_without_repeats_the_assumption_is_said(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(own_csv([run(1, 1, 100.0, 0.01), run(2, 1, 150.0, 0.02)]))
    assert "assume a relative standard deviation of 2 %" in run_study(read_sweep(path), Limits()).notes[0]


def test_this_project_s_own_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(own_csv([run(1, 1, 100.0, 0.01), run(2, 1, 150.0, 0.02), run(2, 1, 150.0, 0.02)]))
    sweep = read_sweep(path)
    assert [r.tokens_per_second for r in sweep.runs] == [100.0, 150.0]
    assert sweep.notes == ("1 rows stand twice and count once.",)


GOOD = own_csv([run(1, 1, 100.0, 0.01), run(2, 1, 150.0, 0.02)]).splitlines()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["model,batch", "a,1"], "columns = model, batch: missing: replicas, prompt_tokens"),
        ([VLLM_HEADER.replace("p99_itl_ms,", ""), "a" + 11 * ","], "missing: p99_itl_ms"),
        (GOOD[:2], "configurations = 1: at least two"),
        ([*GOOD, GOOD[1].replace("100.0", "nan", 1)], "prompt_tokens = 'nan' in row 4"),
        ([*GOOD, GOOD[1].replace("toy,1,", "toy,1.5,")], "batch = '1.5' in row 4: a whole number"),
        ([*vllm_lines(), vllm_line(8).replace("_8_", "_eight_")], "setting = '_eight_' in row 23"),
        ([*GOOD, GOOD[1].removesuffix("0.05") + "-1"], "joules_per_token = '-1' in row 4"),
        ([GOOD[0]], "rows = 0"),
    ],
)
def test_wrong_tables_are_named(lines: list[str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert words in str(caught.value)


def pareto(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["pareto", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_prints_and_writes(file: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "pareto.json", tmp_path / "pareto.html"
    groups = ("--group", "background", "--group", "replication/all")
    status, output = pareto("--replay", file, *groups, "--json", out, "--report", page)
    assert status == 0
    assert "toy replication/all: " in output
    document = json.loads(out.read_text())
    assert [e["recommended"] for e in document["experiments"]] == ["1x512", "2x256"]
    html = page.read_text()
    assert html.count('src="data:image/png;base64,') == 2
    assert not re.search(r'(?:src|href)="(?!data:)', html)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "opt"], "--model = opt: allowed: toy"),
        (["--group", "live"], "--group = live: allowed: background, replication/again, replication/all"),
        (["--max-itl-ms", "0"], "--max-itl-ms = 0.0: a finite number above 0"),
        (
            ["--memory-gb", "64"],
            "--weights-gb, --kv-kb-per-token = not given: a memory limit needs all",
        ),
        (["--json", "none/out.json"], "its folder does not exist"),
        (
            ["--lengths", "8x8", "--lengths", "9x9", "--rate", "2"],
            "--lengths = 8x8, 9x9: says how to measure",
        ),
        (["--lengths", "8x8", "--rate", "2"], "--rate = 2.0: says how to measure, and --replay"),
        (["--zoo", "zoo.yaml"], "--zoo = zoo.yaml: goes with --write-zoo"),
        (["--save", "runs.csv"], "--save = runs.csv: says how to measure, and --replay measures nothing"),
    ],
)
def test_wrong_arguments_end_with_status_2(arguments: list[str], words: str, file: Path) -> None:
    status, output = pareto("--replay", file, *arguments)
    assert status == 2
    assert words in output


def test_a_group_of_a_sweep_that_has_none_is_said(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.csv"
    sweep.write_text(own_csv([run(1, 1, 20.0, 0.05), run(2, 1, 35.0, 0.06)]))
    status, output = pareto("--replay", sweep, "--group", "live")
    assert status == 2
    assert "--group = live: the sweep has none" in output
