"""How `messplus up` begins and ends, and what it says when it cannot. Echo model."""

import signal
import socket
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli.local.ports import split_address
from services.common.zoo import Zoo
from tests.e2e.local_system import (
    ECHO,
    MESSPLUS,
    LocalSystem,
    alive,
    generate,
    request,
    running,
    wait_for,
    write_zoo,
    zoo_data,
)

ALWAYS_ECHO = {"name": "single:echo"}
SLOW = ECHO | {"echo_tokens_per_second": 10.0}
LONG_PROMPT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def places(zoo: Zoo) -> list[str]:
    workers = [worker.address for worker in zoo.workers]
    return [*zoo.router_addresses, zoo.feedback_address, zoo.energy.address, *workers]


def free(zoo: Zoo) -> bool:
    try:
        for address in places(zoo):
            socket.create_server(split_address(address)).close()
    except OSError:
        return False
    return True


def complete(system: LocalSystem) -> dict[str, int] | None:
    """Events in the log by kind, once its one request has its label."""
    kinds = Counter(type(event).__name__ for event in system.events())
    return dict(kinds) if kinds["Label"] else None


def up(zoo_file: Path, data_dir: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [str(MESSPLUS), "up", "--zoo", str(zoo_file), "--data-dir", str(data_dir), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_interrupted_it_leaves_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    data = zoo_data([SLOW], ALWAYS_ECHO)
    with running(tmp_path, data) as system, ThreadPoolExecutor(1) as client:
        second = up(system.zoo_file, system.data_dir)
        assert second.returncode == 2
        assert f"in use by another messplus (process {system.process.pid})" in second.stderr
        answer = client.submit(generate, system.router(), request(LONG_PROMPT, "fifteen"))
        wait_for(lambda: len(system.decisions()) == 1, 10, "the decision in the log")
        pids = system.pids()
        assert not answer.done()
        assert system.stop(signal.SIGINT) == 0
        assert answer.result(5).text == LONG_PROMPT
        assert not [name for name, pid in pids.items() if alive(pid)]
        assert free(system.zoo)
        assert {path.name for path in system.data_dir.iterdir()} == {"valkey", "logs", "lock"}
        for log in (system.data_dir / "logs").iterdir():
            assert "Traceback" not in log.read_text(), log
    with running(tmp_path, data) as again:
        kinds = wait_for(lambda: complete(again), 10, "all events of the answer that was drained")
        assert kinds == {"Decision": 1, "Outcome": 1, "EnergyAttributed": 1, "Label": 1}
    with running(tmp_path, data, "--fresh") as fresh:
        assert fresh.decisions() == []


def test_killed_it_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, zoo_data([ECHO], ALWAYS_ECHO)) as system:
        pids = system.pids()
        system.process.kill()
        system.process.wait()
        wait_for(lambda: not any(alive(pid) for pid in pids.values()), 10, "all children are gone")
        wait_for(lambda: free(system.zoo), 5, "all ports are free")


def test_interrupted_while_it_starts_it_leaves_nothing(tmp_path: Path) -> None:
    system = LocalSystem(tmp_path, zoo_data([ECHO], ALWAYS_ECHO))
    wait_for(lambda: (system.data_dir / "processes.json").exists(), 20, "the first process")
    assert system.stop(signal.SIGINT) == 0
    assert free(system.zoo)


def test_a_taken_port_is_named_with_its_service_before_anything_starts(tmp_path: Path) -> None:
    data = zoo_data([ECHO], ALWAYS_ECHO)
    zoo_file = write_zoo(tmp_path, data)
    with socket.create_server(split_address(data["feedback_address"])):
        result = up(zoo_file, tmp_path / "data")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "address of feedback" in line
    assert f"port {split_address(data['feedback_address'])[1]} is taken" in line
    assert not list((tmp_path / "data" / "logs").iterdir())


def test_an_unusable_data_directory_is_named(tmp_path: Path) -> None:
    zoo_file = write_zoo(tmp_path, zoo_data([ECHO], ALWAYS_ECHO))
    result = up(zoo_file, zoo_file / "data")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "--data-dir" in line
    assert "cannot be used" in line


def test_a_policy_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    zoo_file = write_zoo(tmp_path, zoo_data([ECHO], {"name": "no-such-policy"}))
    result = up(zoo_file, tmp_path / "data")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "no-such-policy" in line
    assert "messplus-2025" in line
