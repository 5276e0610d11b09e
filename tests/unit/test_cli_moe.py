"""`messplus moe` as people type it."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from planner.moe.laws import published_laws
from tests.unit.moe_runs import csv_text, sampled
from tests.unit.pareto_sweep import own_csv, run


def moe(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["moe", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_a_published_law_gives_tables_document_and_report(tmp_path: Path) -> None:
    out, page = tmp_path / "moe.json", tmp_path / "moe.html"
    status, output = moe("--budget", "1e22", "--json", out, "--report", page)
    assert status == 0
    for words in ("loss-optimal", "What the paper states", "agree", "differ", "* extrapolated"):
        assert words in output
    document = json.loads(out.read_text())
    assert len(document["findings"]) == 5
    assert document["answers"][0]["loss_optimal"][0]["experts"] == 1
    html = page.read_text()
    assert html.count('src="data:image/png;base64,') == 3
    assert not re.search(r'(?:src|href)="(?!data:)', html)


def test_a_law_is_fitted_to_runs_of_one_s_own(tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    runs.write_text(csv_text(sampled(published_laws()["chinchilla"], 0.002, experts=(1.0,))))
    out, page = tmp_path / "moe.json", tmp_path / "moe.html"
    status, output = moe(
        "--runs", runs, "--form", "chinchilla", "--resamples", 2, "--json", out, "--report", page
    )
    assert status == 0
    assert "chinchilla, fitted to 20 runs" in output
    assert json.loads(out.read_text())["fit"]["intervals"].keys() == {"A", "alpha", "B", "beta", "E"}
    assert "Optimum of the fitted law" in output
    assert "The fitted law" in page.read_text()


def test_bounds_that_nothing_reaches_are_said_with_the_best(tmp_path: Path) -> None:
    status, output = moe("--budget", "1e21", "--max-loss", 1.5, "--max-cost", 1e-6)
    assert status == 0
    assert "1e+21 FLOPs: no model reaches loss 1.5; the best is 2.2483." in output
    assert "no model serves for 1e-06 $/M tokens" in output


def test_too_little_memory_is_said_and_drawn(tmp_path: Path) -> None:
    page = tmp_path / "moe.html"
    status, output = moe(
        "--budget", "1e23", "--gpu-memory", 0.001, "--json", tmp_path / "o.json", "--report", page
    )
    assert status == 0
    assert "fits nowhere" in output


def test_latencies_come_from_a_sweep_of_one_s_own(tmp_path: Path) -> None:
    rates = ((1, 100.0), (8, 700.0), (64, 3000.0), (256, 5000.0), (512, 5500.0))
    sweep = tmp_path / "sweep.csv"
    sweep.write_text(own_csv([run(b, 1, rate, b / rate) for b, rate in rates]).replace("toy", "toy-1.5b"))
    out = tmp_path / "moe.json"
    status, _ = moe("--budget", "1e21", "--latency", sweep, "--json", out)
    assert status == 0
    assert str(sweep) in json.loads(out.read_text())["settings"]["latency"]
    sweep.write_text(sweep.read_text().replace("-1.5b", "-large"))
    status, output = moe("--budget", "1e21", "--latency", sweep)
    assert status == 2
    assert "model = toy-large: a model name that states its parameters" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--law", "joint"], "--law = joint: allowed: joint-moe, clark-s-base, krajewski-64, chinchilla"),
        (["--law", "clark-s-base"], "a law that knows training tokens"),
        (["--law", "chinchilla", "--experts", "8"], "--experts = 8: chinchilla knows only 1"),
        (["--budget", "-1"], "--budget = -1.0: a finite number above 0"),
        (["--gpu-price", "nan"], "--gpu-price = nan"),
        (["--runs", "none.csv"], "none.csv: file = not readable: a CSV file is needed: no such file"),
        (["--runs", "none.csv", "--form", "clark"], "--form = clark: allowed: yun, joint, chinchilla"),
        (["--form", "joint"], "--form = joint: says how to fit --runs, and there are none"),
        (["--seed", "0"], "--seed = 0: says how to fit --runs"),
        (["--runs", "none.csv", "--law", "chinchilla"], "--law = chinchilla: a published one, and --runs"),
        (["--json", "none/out.json"], "its folder does not exist"),
    ],
)
def test_wrong_arguments_end_with_one_line_and_status_2(arguments: list[str], words: str) -> None:
    status, output = moe(*arguments)
    assert status == 2
    assert words in output


def test_a_tiny_budget_is_answered_and_drawn(tmp_path: Path) -> None:
    page = tmp_path / "moe.html"
    status, output = moe("--budget", 1, "--report", page)
    assert status == 0
    assert "* extrapolated" in output
    assert 'src="data:image/png;base64,' in page.read_text()
