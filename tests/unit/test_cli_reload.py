"""Adding and removing services of a running system, and what SIGHUP means."""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli_supervisor import OBEDIENT, alive, python_spec, until

from cli.failure import CommandError
from cli.local.data_directory import DataDirectory, ReloadRecord, opened
from cli.local.session import run_system
from cli.local.supervisor import State, Supervisor

CRASHING = "print('no luck {ready}', flush=True); raise SystemExit(3)"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDirectory]:
    with opened(tmp_path, fresh=True) as directory:
        yield directory


async def test_services_come_and_go_while_the_others_stay(data: DataDirectory) -> None:
    supervisor = Supervisor([python_spec(data, "kept", "worker", OBEDIENT)], data, drain_seconds=5)
    await supervisor.start()
    watching = asyncio.create_task(supervisor.watch())
    await supervisor.add([python_spec(data, "new", "worker", OBEDIENT)])
    pids = json.loads(data.processes_file.read_text())
    assert pids.keys() == {"kept", "new"}
    kept, new = supervisor.services
    assert (kept.state, new.state) == (State.READY, State.READY)
    await supervisor.remove([kept])
    assert (data.root / "kept.ready.drained").exists()
    assert not alive(pids["kept"])
    assert json.loads(data.processes_file.read_text()) == {"new": pids["new"]}
    os.kill(pids["new"], signal.SIGKILL)
    await until(lambda: new.restarts == 1 and new.state is State.READY)
    assert not watching.done()
    watching.cancel()
    await supervisor.stop()


async def test_a_new_service_that_crashes_leaves_the_system_as_it_was(data: DataDirectory) -> None:
    supervisor = Supervisor([python_spec(data, "kept", "worker", OBEDIENT)], data, drain_seconds=5)
    await supervisor.start()
    watching = asyncio.create_task(supervisor.watch())
    with pytest.raises(CommandError, match="new ended 5 times"):
        await supervisor.add([python_spec(data, "new", "worker", CRASHING)])
    assert [service.spec.name for service in supervisor.services] == ["kept"]
    assert supervisor.services[0].state is State.READY
    assert not watching.done()
    watching.cancel()
    await supervisor.stop()


async def test_a_hang_up_signal_asks_for_a_reading(data: DataDirectory) -> None:
    supervisor = Supervisor([python_spec(data, "router", "router", OBEDIENT)], data, drain_seconds=5)
    asked = asyncio.Event()

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(asked.wait(), 10)

    assert await run_system(supervisor, work, asked.set) is True


@pytest.mark.skipif(sys.platform != "linux", reason="terminals of Linux")
async def test_a_closed_terminal_ends_the_system(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor([python_spec(data, "router", "router", OBEDIENT)], data, drain_seconds=5)
    other_end, terminal = pty.openpty()
    monkeypatch.setattr("cli.local.session._STANDARD_STREAMS", (terminal,))
    asked: list[int] = []

    async def work() -> None:
        os.close(other_end)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.Event().wait()

    assert await run_system(supervisor, work, lambda: asked.append(1)) is False
    os.close(terminal)
    assert asked == []
    assert supervisor.services[0].state is State.STOPPED


def test_the_record_and_the_owner_are_there_while_a_system_runs(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    assert (directory.owner(), directory.read_reload()) == (None, None)
    with opened(tmp_path, fresh=True):
        directory.write_reload(3, Path("/zoo.yaml"), ["no"])
        assert directory.owner() == os.getpid()
        assert directory.read_reload() == ReloadRecord(3, "/zoo.yaml", ("no",))
    assert (directory.owner(), directory.read_reload()) == (None, None)
