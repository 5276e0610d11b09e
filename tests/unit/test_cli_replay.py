"""`messplus replay` as people type it."""

import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.main import app
from planner.replay.sources.parquet import write_parquet
from tests.unit.replay_data import columns

SHORT = ["--policy", "pacer", "--policy", "messplus-2025", "--seeds", "2"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outcomes") / "tiny.parquet"
    write_parquet(path, columns(60))
    return path


def replay(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_a_replay_prints_a_table_and_writes_document_and_report(file: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "runs.json", tmp_path / "report.html"
    status, output = replay("--outcomes", file, *SHORT, "--json", out, "--report", page)
    assert status == 0
    for words in ("tiny: 60 requests", "pacer", "messplus-2025", "static-mixture", "clairvoyant"):
        assert words in output
    document = json.loads(out.read_text())
    assert len(document["runs"]) == 2 * 3 * 2
    html = page.read_text()
    assert html.count('src="data:image/png;base64,') == 5
    assert not re.search(r'(?:src|href)="(?!data:)', html)


def test_the_same_command_gives_the_same_numbers(file: Path, tmp_path: Path) -> None:
    documents = []
    for name in ("a.json", "b.json"):
        assert replay("--outcomes", file, *SHORT, "--order", "drift", "--json", tmp_path / name)[0] == 0
        document = json.loads((tmp_path / name).read_text())
        for run in document["runs"]:
            del run["seconds_per_thousand_requests"]
        documents.append(document)
    assert documents[0] == documents[1]


def test_an_unreachable_target_is_said(file: Path) -> None:
    options = ("--policy", "pacer", "--seeds", 1, "--min-satisfaction", 0.99)
    status, output = replay("--outcomes", file, *options)
    assert status == 0
    assert "No model reaches 0.99: the best, large" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--outcomes, --from-log = neither: exactly one is needed"),
        (["--outcomes", "FILE", "--from-log", "x"], "both: exactly one"),
        (["--outcomes", "none.parquet"], "none.parquet: no such file"),
        (["--outcomes", "FILE", "--policy", "paser"], "messplus: replay: --policy = paser: allowed: pacer, "),
        (
            ["--outcomes", "FILE", "--policy", "single:huge"],
            "--policy = single:huge: allowed: single:small, single:medium, single:large",
        ),
        (["--outcomes", "FILE", "--min-satisfaction", "1.5"], "must be between 0 and 1"),
        (["--outcomes", "FILE", "--labels", "sometimes"], "full, partial:SHARE"),
        (["--outcomes", "FILE", "--energy", "small"], "MODEL=J"),
        (["--outcomes", "FILE", "--energy", "small=5"], "has joules of its own"),
        (
            ["--outcomes", "FILE", "--json", "none/out.json"],
            "--json = none/out.json: its folder does not exist",
        ),
        (["--outcomes", "FILE", "--report", "."], "--report = .: is a folder: name a file"),
        (["--outcomes", "FILE", "--json", "FILE"], "would be written into what the command reads"),
        (["--outcomes", "FILE", "--json", "x", "--report", "x"], "another file than --json is needed"),
        (["--outcomes", "FILE", "--energy", "a=1", "--energy", "a=2"], "a is already stated"),
        (["--from-log", "none.jsonl"], "--from-log = none.jsonl: a file that can be read is needed"),
        (["--from-log", "FILE", "--energy", "a=1"], "a recorded log has joules of its own"),
    ],
)
def test_wrong_arguments_end_with_one_line_and_status_2(file: Path, arguments: list[str], words: str) -> None:
    status, output = replay(*(str(file) if a == "FILE" else a for a in arguments))
    assert status == 2
    assert words in output


def test_a_folder_named_like_a_file_is_no_outcomes(tmp_path: Path) -> None:
    folder = tmp_path / "folder.parquet"
    folder.mkdir()
    status, output = replay("--outcomes", folder)
    assert status == 2
    assert "a file that can be read is needed: is a directory" in output


def test_a_read_only_folder_is_found_before_the_runs(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For root nothing is read-only, so that the system's answer is set here.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    status, output = replay("--outcomes", file, "--json", tmp_path / "runs.json")
    assert status == 2
    assert "no permission to write" in output
    assert "pacer" not in output


def test_a_narrow_terminal_hides_no_digits(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.replay.command_console", lambda **_: Console(width=50))
    status, output = replay("--outcomes", file, "--policy", "pacer", "--seeds", 1, "--min-satisfaction", 0.5)
    assert status == 0
    assert "…" not in output


def test_what_is_named_twice_runs_once(file: Path, tmp_path: Path) -> None:
    twice = ["--policy", "pacer", "--min-satisfaction", 0.5] * 2
    assert replay("--outcomes", file, *twice, "--seeds", 1, "--json", tmp_path / "runs.json")[0] == 0
    assert len(json.loads((tmp_path / "runs.json").read_text())["runs"]) == 1


def test_a_file_of_another_kind_ends_the_same_way(tmp_path: Path) -> None:
    table = columns(4)
    del table["correct"]
    table["energy_joules"][0] = -3.0
    path = tmp_path / "bad.parquet"
    write_parquet(path, table)
    status, output = replay("--outcomes", path)
    assert status == 2
    assert "missing: correct" in output


@pytest.mark.parametrize("command", [["replay", "--policy", "pacer", "--seeds", "1"], ["plan"]])
def test_names_with_brackets_are_printed_as_they_are(tmp_path: Path, command: list[str]) -> None:
    table = columns(10)
    table["model"] = [f"{name}[/][bold]" for name in table["model"]]
    path = tmp_path / "names.parquet"
    write_parquet(path, table)
    result = CliRunner().invoke(app, [*command, "--outcomes", str(path), "--min-satisfaction", "0.5"])
    assert result.exit_code == 0
    assert "small[/][bold]" in result.output


def test_joules_that_are_all_the_same_are_drawn(tmp_path: Path) -> None:
    # Warnings are errors in tests.
    table = columns(10)
    table["energy_joules"] = [1e6] * len(table["energy_joules"])
    path, page = tmp_path / "same.parquet", tmp_path / "same.html"
    write_parquet(path, table)
    status, _ = replay("--outcomes", path, "--policy", "pacer", "--seeds", 1, "--report", page)
    assert status == 0
    assert page.read_text().count('src="data:image/png;base64,') == 5
