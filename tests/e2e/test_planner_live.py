"""`messplus profile` and `messplus pareto` on real worker processes, from the command line to the report."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.pareto.sources import read_sweep
from planner.runtime.helm import read_profiles
from planner.runtime.profile import Tier
from tests.e2e.local_system import MESSPLUS, running, write_zoo, zoo_data

TOKENS_PER_SECOND = 50.0
ECHO = {"id": "echo", "engine": "echo", "echo_tokens_per_second": TOKENS_PER_SECOND}
SIZES = ("--prompt-lengths", "24,48", "--output-lengths", "1,12", "--repeats", "2")
SWEEP = ("--batches", "1,3", "--replicas", "1", "--lengths", "24x8", "--repeats", "1")


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary workers keep their files; short, as sockets lie in it."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def messplus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(MESSPLUS), *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_worker_is_started_profiled_and_stopped(tmp_path: Path, scratch: Path) -> None:
    zoo = write_zoo(tmp_path, zoo_data([ECHO], {"name": "pacer"}))
    files = {name: tmp_path / name for name in ("timed.csv", "profile.json", "page.html")}
    places = [str(path) for path in files.values()]
    result = messplus(
        *("profile", "--zoo", str(zoo), "--model", "echo", *SIZES),
        *("--save", places[0], "--json", places[1], "--report", places[2]),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 sizes x 2 repeats = 8 requests, 288 prompt and 52 output tokens" in result.stdout
    profile = read_profiles(files["profile.json"])["echo"]
    assert set(profile.seconds.for_prompt) == {24, 48}
    # A busy machine is slower than the echo, never faster.
    assert profile.seconds.per_output_token > 0.9 / TOKENS_PER_SECOND
    assert json.loads(files["profile.json"].read_text())["echo"]["joules"]["quality"] == "modelled"
    assert "modelled" in files["page.html"].read_text()
    assert not list(scratch.iterdir())
    again = messplus("profile", "--from", places[0], "--json", str(tmp_path / "again.json"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.json").read_text() == files["profile.json"].read_text()


def test_a_worker_of_a_running_system_is_profiled_with_its_joules(tmp_path: Path) -> None:
    out = tmp_path / "profile.json"
    with running(tmp_path, zoo_data([ECHO], {"name": "pacer"})) as system:
        places = ("--worker", system.zoo.workers[0].address, "--energy", system.zoo.energy.address)
        result = messplus("profile", *places, "--name", "stack-a", *SIZES, "--json", str(out))
    assert result.returncode == 0, result.stdout + result.stderr
    profile = read_profiles(out)["stack-a"]
    assert profile.joules is not None
    assert profile.joules_tier is Tier.MODELLED


def test_a_sweep_runs_is_kept_and_gone_on_with(tmp_path: Path, scratch: Path) -> None:
    zoo = write_zoo(tmp_path, zoo_data([ECHO], {"name": "pacer"}))
    save, out = tmp_path / "sweep.csv", tmp_path / "recommended.yaml"
    arguments = ("pareto", "--zoo", str(zoo), "--model", "echo", *SWEEP, "--save", str(save))
    times = ("--warm-up-seconds", "0.5", "--window-seconds", "2")
    first = messplus(*arguments, *times, "--write-zoo", str(out))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 configurations x 1 repeats = 2 runs of 2 s" in first.stdout
    runs = {run.configuration.batch: run for run in read_sweep(save).runs}
    assert set(runs) == {1, 3}
    assert runs[3].tokens_per_second > 1.5 * runs[1].tokens_per_second
    assert all(run.itl_seconds > 0.9 / TOKENS_PER_SECOND for run in runs.values())
    assert all(run.joules_per_token > 0.0 for run in runs.values())
    assert "max_batch_size: 3" in out.read_text()
    kept = save.read_text()
    second = messplus(*arguments)
    assert second.returncode == 0, second.stderr
    assert "2 are measured already" in second.stdout
    assert save.read_text() == kept
    assert not list(scratch.iterdir())


def test_an_interrupted_sweep_leaves_nothing_running(tmp_path: Path, scratch: Path) -> None:
    zoo = write_zoo(tmp_path, zoo_data([ECHO], {"name": "pacer"}))
    save = tmp_path / "sweep.csv"
    command = [str(MESSPLUS), "pareto", "--zoo", str(zoo), "--model", "echo", *SWEEP, "--save", str(save)]
    times = ["--warm-up-seconds", "0.5", "--window-seconds", "60"]
    with subprocess.Popen(
        [*command, *times],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # As in a terminal: a shell that runs these tests in the background makes its children ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as sweep:
        assert sweep.stdout is not None
        assert "no run begins after" in sweep.stdout.readline()
        sweep.send_signal(signal.SIGINT)
        said, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert said == "" or "0 runs are kept in" in said
    assert not list(scratch.iterdir())
