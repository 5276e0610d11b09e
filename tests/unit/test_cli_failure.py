"""What an unlucky newcomer reads: one line per problem, an exit status, never a traceback."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.entry import EXIT_INTERRUPTED, main
from cli.failure import CommandError, config_error, exit_status, explain
from cli.main import app


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            config_error("zoo.yaml:3", "models[0].id", "a b", "letters only"),
            2,
            "zoo.yaml:3: models[0].id = a b",
        ),
        (CommandError("over two\nlines"), 1, "over two lines"),
        (OSError(errno.ENOSPC, "No space left", "/data"), 1, "the disk is full (/data)"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), 1, "choose another directory"),
    ],
)
def test_every_failure_is_one_line_with_a_status(error: Exception, status: int, words: str) -> None:
    lines = explain(error)
    assert len(lines) == 1
    assert words in lines[0]
    assert "\n" not in lines[0]
    assert exit_status(error) == status


@pytest.mark.parametrize(
    "command", [["up"], ["status"], ["explain", "r"], ["energy", "r"], ["demo"], ["models", "list"]]
)
def test_a_bad_zoo_file_is_named_with_all_its_problems(command: list[str], tmp_path: Path) -> None:
    zoo = tmp_path / "zoo.yaml"
    zoo.write_text("name: x\nmodels: []\nworkers: []\nsla_classes: []\n")
    result = CliRunner().invoke(app, [*command, "--zoo", str(zoo)])
    assert result.exit_code == 2
    lines = [line for line in result.output.splitlines() if line]
    assert len(lines) == 3
    assert all(line.startswith(f"messplus: {zoo}:") for line in lines)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--debug", "models", "list", "--zoo", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "Traceback" in result.output


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESSPLUS_DRAIN_SECONDS", "-1")
    result = CliRunner().invoke(app, ["models", "list"])
    assert result.exit_code == 2
    assert "MESSPLUS_DRAIN_SECONDS" in result.output


@pytest.mark.parametrize("command", [[], ["up"], ["demo"], ["status"], ["explain"]])
def test_help_teaches(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert " ".join(["messplus", *command]) in " ".join(result.output.split())


COMMAND = [sys.executable, "-c", "from cli.entry import main; main()"]


@pytest.mark.parametrize(
    "arguments", [["meters", "--seconds", "0", "--json"], ["models", "list"], ["--help"]]
)
def test_an_output_that_nobody_reads_ends_a_command_without_a_word(arguments: list[str]) -> None:
    ended = unread(arguments)
    assert ended.stderr == b""
    assert ended.returncode == 1


def test_an_output_that_nobody_reads_costs_no_file(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    assert unread(["moe", "--budget", "1e21", "--json", str(numbers)]).returncode == 1
    assert json.loads(numbers.read_text())


def unread(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        return subprocess.run([*COMMAND, *arguments], stdout=output, stderr=subprocess.PIPE, check=False)


def test_help_on_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines() == [
        "messplus: the disk is full: free some space and run the command again"
    ]


def test_ctrl_c_in_the_middle_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("cli.commands.meters.chosen_zoo", interrupted)
    result = CliRunner().invoke(app, ["meters"])
    assert result.exit_code == EXIT_INTERRUPTED
    assert result.output.splitlines() == ["messplus: interrupted before the end"]


def test_ctrl_c_while_the_modules_are_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "messplus: interrupted before the end\n"


def test_a_narrow_terminal_cuts_no_model_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.models.command_console", lambda: Console(width=40))
    result = CliRunner().invoke(app, ["models", "list"])
    assert result.exit_code == 0
    assert "…" not in result.output
