"""The supervisor on tiny real processes: starts, restarts, gives up, stops in order, leaves none behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.failure import CommandError
from cli.local.data_directory import DataDirectory, opened
from cli.local.plan import ServiceSpec
from cli.local.session import run_system
from cli.local.supervisor import State, Supervised, Supervisor

OBEDIENT = """
import signal, sys, time

def drain(*_):
    open({ready!r} + ".drained", "w").close()
    sys.exit(0)

signal.signal(signal.SIGTERM, drain)
open({ready!r}, "w").close()
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); open({ready!r}, 'w').close(); time.sleep(600)"
)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDirectory]:
    with opened(tmp_path, fresh=True) as directory:
        yield directory


def python_spec(data: DataDirectory, name: str, kind: str, program: str) -> ServiceSpec:
    ready = data.root / f"{name}.ready"

    async def probe() -> bool:
        return ready.exists()

    code = program.format(ready=str(ready))
    return ServiceSpec(name, kind, (sys.executable, "-S", "-c", code), "nowhere", probe)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert condition()


async def test_a_died_service_is_restarted_and_all_stop_in_order(data: DataDirectory) -> None:
    kinds = ("valkey", "energy", "worker", "feedback", "router")
    specs = [python_spec(data, kind, kind, OBEDIENT) for kind in kinds]
    stopped: list[str] = []

    def note(service: Supervised) -> None:
        if service.state is State.STOPPED:
            stopped.append(service.spec.name)

    supervisor = Supervisor(specs, data, drain_seconds=5, on_change=note)
    await supervisor.start()
    before = json.loads(data.processes_file.read_text())
    os.kill(before["worker"], signal.SIGKILL)
    worker = next(s for s in supervisor.services if s.spec.name == "worker")
    await until(lambda: worker.restarts == 1 and worker.state is State.READY)
    after = json.loads(data.processes_file.read_text())
    assert {name for name in before if before[name] != after[name]} == {"worker"}
    await supervisor.stop()
    assert stopped == ["router", "worker", "energy", "feedback", "valkey"]
    assert not any(alive(pid) for pid in after.values())


async def test_it_gives_up_on_a_service_that_keeps_crashing_and_names_its_log(data: DataDirectory) -> None:
    program = "print('no luck {ready}', flush=True); raise SystemExit(3)"
    supervisor = Supervisor([python_spec(data, "router", "router", program)], data, drain_seconds=1)
    with pytest.raises(CommandError, match=r"router ended 5 times .* status 3: no luck .*router\.log"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_refused_configuration_is_not_tried_again(data: DataDirectory) -> None:
    program = "print('zoo.yaml:1: bad {ready}', flush=True); raise SystemExit(2)"
    supervisor = Supervisor([python_spec(data, "energy", "energy", program)], data, drain_seconds=1)
    with pytest.raises(CommandError, match=r"energy refused its configuration: zoo\.yaml:1: bad"):
        await supervisor.start()
    await supervisor.stop()
    assert data.log_file("energy").read_text().count("bad") == 1


async def test_a_stubborn_service_is_killed_after_its_drain_time(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.local.supervisor._KILL_MARGIN_SECONDS", 0.0)
    supervisor = Supervisor([python_spec(data, "worker", "worker", STUBBORN)], data, drain_seconds=0.3)
    await supervisor.start()
    (pid,) = json.loads(data.processes_file.read_text()).values()
    await supervisor.stop()
    assert not alive(pid)


async def test_a_signal_ends_the_work_and_everything_else(data: DataDirectory) -> None:
    supervisor = Supervisor([python_spec(data, "router", "router", OBEDIENT)], data, drain_seconds=5)

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    assert await run_system(supervisor, work) is False
    assert supervisor.services[0].state is State.STOPPED
    assert (data.root / "router.ready.drained").exists()


async def test_work_that_ends_ends_the_system(data: DataDirectory) -> None:
    supervisor = Supervisor([python_spec(data, "router", "router", OBEDIENT)], data, drain_seconds=5)

    async def work() -> None:
        assert supervisor.services[0].state is State.READY

    assert await run_system(supervisor, work) is True
    assert supervisor.services[0].state is State.STOPPED


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_killing_the_supervisor_leaves_no_child(tmp_path: Path) -> None:
    program = f"""
        import asyncio, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from cli.local.data_directory import opened
        from cli.local.supervisor import Supervisor
        from test_cli_supervisor import STUBBORN, python_spec

        async def main(data):
            await Supervisor([python_spec(data, "worker", "worker", STUBBORN)], data, 1).start()
            print("ready", flush=True)
            await asyncio.sleep(600)

        with opened(Path({str(tmp_path)!r}), fresh=True) as data:
            asyncio.run(main(data))
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    (pid,) = json.loads((tmp_path / "processes.json").read_text()).values()
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)
    with opened(tmp_path, fresh=False):
        pass
