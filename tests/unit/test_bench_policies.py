"""The evidence page: runs that are known are not run again, and what is missing is said."""

from pathlib import Path

import pytest

from bench.policy_evidence import Evidence, best_in_hindsight
from bench.policy_figures import write_figures
from bench.policy_page import write_page
from bench.policy_runs import Result, Results, Setting, Store, all_tasks, grid_settings, run_all, run_task
from bench.policy_targets import target_rows
from planner.replay.sources.parquet import write_parquet
from tests.unit.replay_data import columns

FILE, ALPHA = "gemma3.dev", 0.55
PACER = Setting(FILE, "pacer", ALPHA)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    path = tmp_path_factory.mktemp("outcomes") / "small.parquet"
    write_parquet(path, columns(60))
    return {FILE: path}


def result(joules: float = 30.0, satisfaction: float = 0.55, shortfall: float = 0.01) -> Result:
    return Result(joules, satisfaction, 0.0, shortfall, 0.5, {"easy": 0.7, "hard": 0.4})


def test_a_stopped_call_goes_on_where_it_was(files: dict[str, Path], tmp_path: Path) -> None:
    tasks = [(PACER, seed) for seed in range(3)]
    store = Store(tmp_path / "runs.jsonl", files)
    store.add(tasks[0], result())
    again, done = Store(tmp_path / "runs.jsonl", files), []
    assert again.get(tasks[0]) == result()
    run_all(files, tasks, again, 1, 1.0, lambda: done.append(1))
    assert len(done) == 2
    assert again.get(tasks[2]) == Store(tmp_path / "runs.jsonl", files).get(tasks[2])
    run_all(files, tasks, again, 1, 1.0, lambda: done.append(1))
    assert len(done) == 2


def test_other_data_is_another_run(files: dict[str, Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.jsonl", files)
    store.add((PACER, 0), result())
    write_parquet(tmp_path / "other.parquet", columns(60, seed=1))
    assert Store(tmp_path / "runs.jsonl", {FILE: tmp_path / "other.parquet"}).get((PACER, 0)) is None


def test_a_run_repeats_and_its_topics_average_to_its_mean(files: dict[str, Path]) -> None:
    first, again = run_task(files[FILE], PACER, 1), run_task(files[FILE], PACER, 1)
    assert (first.joules, first.satisfaction, first.topics) == (
        again.joules,
        again.satisfaction,
        again.topics,
    )
    assert sum(first.topics.values()) / 2 == pytest.approx(first.satisfaction)


def test_targets_take_the_worst_seed_and_say_what_is_not_reached() -> None:
    runs = {seed: result(satisfaction=0.56) for seed in range(4)} | {
        4: result(satisfaction=0.54, shortfall=0.03)
    }
    rows = target_rows({PACER: runs}, {(FILE, ALPHA): 40.0})
    found = {row.what: (round(row.value, 6), row.reached) for row in rows}
    where = f"{FILE}, 55 %"
    assert found == {
        f"{where}: energy / static mixture": (0.75, True),
        f"{where}: final mean, worst seed": (-1.0, False),
        f"{where}: worst shortfall after 1,000": (3.0, False),
    }
    del runs[0]
    assert target_rows({PACER: runs}, {(FILE, ALPHA): 40.0}) == []


def test_the_best_in_hindsight_is_the_cheapest_that_keeps_the_target(files: dict[str, Path]) -> None:
    grid = [s for s in grid_settings(FILE, ALPHA) if s.policy == "messplus-2025"]
    results: Results = {s: dict.fromkeys(range(3), result(joules=50.0 + i)) for i, s in enumerate(grid)}
    results[grid[3]] = dict.fromkeys(range(3), result(joules=20.0, satisfaction=0.50))
    evidence = Evidence(files, {FILE: (ALPHA,)}, results, [], 0, "machine")
    best = best_in_hindsight(evidence, "messplus-2025", FILE, ALPHA)
    assert best is not None
    assert best[0] == grid[0]
    del results[grid[5]]
    assert best_in_hindsight(evidence, "messplus-2025", FILE, ALPHA) is None


def test_the_page_holds_every_section_and_says_what_is_missing(
    files: dict[str, Path], tmp_path: Path
) -> None:
    targets = {FILE: (ALPHA,)}
    tasks = all_tasks(targets)
    results: Results = {}
    for setting, seed in tasks:
        results.setdefault(setting, {})[seed] = result()
    evidence = Evidence(files, targets, results, [], 7, "machine")
    write_figures(tmp_path / "evidence", evidence)
    write_page(tmp_path / "evidence.md", evidence)
    page = (tmp_path / "evidence.md").read_text()
    assert "**7 runs are still missing**" in page
    for words in (
        "## Targets: ",
        "biased:3+audit:0.02",
        "## The published method",
        "V 1e-07",
        "A class per topic",
    ):
        assert words in page
    links = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert len(links) == 2
    assert all((tmp_path / link).stat().st_size > 10_000 for link in links)
    widths = {
        line.count("|") for line in page.splitlines() if line.startswith("| gemma3.dev | 55 % | pacer |")
    }
    assert len(widths) == 2, "rows of the main table and of the label table"
