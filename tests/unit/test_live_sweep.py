"""Live sweeps: what a run is made of, what is kept, and the zoo file that follows."""

import asyncio
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from cli.measure.endpoint import EndpointError
from cli.measure.load import Demand, Load
from cli.measure.sweep_file import SweepFile
from cli.options import embedded_zoo_file
from cli.pareto.recommended_zoo import zoo_with
from planner.pareto.sources import read_sweep
from planner.pareto.sweep import Configuration, pooled_noise
from planner.pareto.window import Window, run_of
from planner.replies import Arrival, Reply
from services.common.zoo_file import load_zoo, parse_zoo
from services.core.errors import ConfigError

CONFIGURATION = Configuration("m", "64+4 tokens", 2, 1)


def reply(sent: float, *arrivals: float) -> Reply:
    tokens = tuple(Arrival(seconds, 1) for seconds in arrivals)
    return Reply("", sent, arrivals[-1], 64, len(arrivals), tokens)


def test_tokens_count_where_they_arrive() -> None:
    replies = [reply(-1.0, -0.5, 0.5, 1.5), reply(1.0, 2.0, 2.5, 3.0), reply(5.0, 9.0, 10.5, 11.0)]
    run = run_of(CONFIGURATION, replies, Window(0.0, 10.0, 12.0))
    assert run is not None
    assert run.tokens_per_second == pytest.approx(0.6)
    assert run.joules_per_token == pytest.approx(2.0)
    assert run.ttft_seconds == pytest.approx((1.0 + 4.0) / 2)
    assert run.itl_seconds == pytest.approx((1.0 + 1.0 + 0.5 + 0.5) / 4)
    assert (run.prompt_tokens, run.output_tokens) == (64, 3)


def test_a_window_in_which_no_answer_began_shows_nothing() -> None:
    assert run_of(CONFIGURATION, [reply(-1.0, -0.5, 0.5, 1.5)], Window(0.0, 10.0, None)) is None


def test_repeats_are_pooled_though_answers_differ_by_a_token() -> None:
    runs = [
        run_of(CONFIGURATION, [reply(0.0, *times)], Window(0.0, 9.0, 1.0)) for times in ((1, 2), (1, 2, 3))
    ]
    assert pooled_noise([run for run in runs if run]).freedom == 1


class Gate:
    """An endpoint whose answers come when it is told; fails on demand."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Reply]] = []

    async def answer(self, prompt: str, max_tokens: int) -> Reply:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]

    async def close(self) -> None:
        return None

    @property
    def open_requests(self) -> list[asyncio.Future[Reply]]:
        return [found for found in self.waiting if not found.done()]


async def settled(gates: list[Gate], wanted: list[int]) -> None:
    async with asyncio.timeout(10):
        while [len(gate.open_requests) for gate in gates] != wanted:
            await asyncio.sleep(0)


async def test_every_slot_of_every_replica_always_has_a_request() -> None:
    gates = [Gate(), Gate()]
    load = Load(gates, Demand(lambda: "words", 4, slots=3), seed=0)
    running = asyncio.create_task(load.run())
    await settled(gates, [3, 3])
    gates[0].waiting[0].set_result(reply(0.0, 1.0))
    await settled(gates, [3, 3])
    assert [len(gate.waiting) for gate in gates] == [4, 3]
    load.stop()
    for gate in gates:
        for waiting in gate.open_requests:
            waiting.set_result(reply(0.0, 1.0))
    await running
    assert len(load.replies) == 7


async def test_arrivals_at_a_rate_go_where_fewest_wait() -> None:
    gates = [Gate(), Gate()]
    load = Load(gates, Demand(lambda: "words", 4, slots=1, rate=1e4), seed=0)
    running = asyncio.create_task(load.run())
    async with asyncio.timeout(10):
        while sum(len(gate.waiting) for gate in gates) < 20:
            await asyncio.sleep(0.001)
    load.stop()
    async with asyncio.timeout(10):
        while not running.done():
            for waiting in (found for gate in gates for found in gate.open_requests):
                waiting.set_result(reply(0.0, 1.0))
            await asyncio.sleep(0.001)
    assert abs(len(gates[0].waiting) - len(gates[1].waiting)) <= 1


async def test_a_failing_replica_ends_the_load_with_its_own_error() -> None:
    gate = Gate()
    running = asyncio.create_task(Load([gate], Demand(lambda: "words", 4, slots=2), seed=0).run())
    await settled([gate], [2])
    gate.waiting[0].set_exception(EndpointError("the worker died"))
    with pytest.raises(EndpointError, match="the worker died"):
        await running


def test_runs_that_were_kept_are_those_that_are_replayed(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    kept = SweepFile(path)
    for batch, joules in ((1, 3.0), (2, None)):
        found = run_of(
            Configuration("m", "g", batch, 1), [reply(0.0, 1.0, 2.0)], Window(0.0, 10.0 / 3.0, joules)
        )
        assert found is not None
        kept.add(found)
        assert [run.configuration for run in SweepFile(path).runs] == [run.configuration for run in kept.runs]
    assert repr(read_sweep(path).runs) == repr(tuple(kept.runs))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="columns = a, b: a file of a live sweep"):
        SweepFile(path)


ZOO = """\
name: mine  # the zoo
models:
  # the small one
  - id: small   # fast
    engine: echo
  - {id: large, engine: echo, max_batch_size: 9}
workers:
  - {model: small, address: "127.0.0.1:6001"}  # here
  - model: large
    address: "127.0.0.1:6002"
  - {model: large, address: "127.0.0.1:6003"}
# what is promised
sla_classes:
  - {name: standard, min_satisfaction: 0.7}
"""


@pytest.mark.parametrize(
    ("model", "batch", "replicas", "text"), [("small", 4, 3, ZOO), ("large", 2, 1, ZOO), ("large", 9, 2, ZOO)]
)
def test_a_zoo_file_is_edited_in_place(
    model: str, batch: int, replicas: int, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "zoo.yaml"
    file.write_text(text)
    zoo = load_zoo(file)
    changed, kept = zoo_with(file, zoo, Configuration(model, "", batch, replicas))
    assert kept
    found = parse_zoo(yaml.safe_load(changed), "test")
    assert found.model(model).max_batch_size == batch
    assert sum(worker.model == model for worker in found.workers) == replicas
    other = "large" if model == "small" else "small"
    assert found.model(other) == zoo.model(other)
    for comment in ("# the zoo", "# the small one", "# fast", "# here", "# what is promised"):
        assert comment in changed


def test_a_layout_that_cannot_be_kept_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "zoo.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(ZOO), default_flow_style=True))
    changed, kept = zoo_with(file, load_zoo(file), Configuration("small", "", 8, 2))
    assert not kept
    found = parse_zoo(yaml.safe_load(changed), "test")
    assert found.model("small").max_batch_size == 8
    assert sum(worker.model == "small" for worker in found.workers) == 2


def test_profiles_of_the_embedded_zoo_are_found_from_elsewhere(tmp_path: Path) -> None:
    embedded = load_zoo(embedded_zoo_file())
    changed, kept = zoo_with(embedded_zoo_file(), embedded, Configuration("smollm2-135m", "", 2, 2))
    assert kept
    copy = tmp_path / "zoo.yaml"
    copy.write_text(changed)
    found = load_zoo(copy)
    assert [model.prior for model in found.models] == [model.prior for model in embedded.models]
    assert sum(worker.model == "smollm2-135m" for worker in found.workers) == 2


def sweep_rows(path: Path) -> Path:
    kept = SweepFile(path)
    for batch, gap in ((1, 1.0), (4, 0.2)):
        found = run_of(
            Configuration("small", "g", batch, 1), [reply(0.0, gap, 2 * gap, 3 * gap)], Window(0.0, 4.0, 3.0)
        )
        assert found is not None
        kept.add(found)
    return path


def test_the_recommended_zoo_never_replaces_a_file(tmp_path: Path) -> None:
    sweep, zoo, out = sweep_rows(tmp_path / "sweep.csv"), tmp_path / "zoo.yaml", tmp_path / "new.yaml"
    zoo.write_text(ZOO)
    arguments = ["pareto", "--replay", str(sweep), "--zoo", str(zoo), "--write-zoo"]
    result = CliRunner().invoke(app, [*arguments, str(out)])
    assert result.exit_code == 0, result.stderr
    assert zoo.read_text() == ZOO
    written = out.read_text()
    assert parse_zoo(yaml.safe_load(written), "test").model("small").max_batch_size in (1, 4)
    for place in (zoo, out):
        result = CliRunner().invoke(app, [*arguments, str(place)])
        assert result.exit_code == 2
        assert not result.stdout
        assert "choose another file" in result.stderr
    assert out.read_text() == written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--model = not given: one model to measure"),
        (["--model", "nix"], "--model = nix: a model of the zoo"),
        (["--model", "smollm2-135m", "--lengths", "64"], "--lengths = 64: PROMPTxOUTPUT tokens"),
        (["--model", "smollm2-135m", "--batches", "2", "--replicas", "1"], "two configurations or more"),
        (["--model", "smollm2-135m", "--rate", "0"], "--rate = 0.0: a finite number above 0"),
    ],
)
def test_options_that_do_not_fit_end_with_status_2(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["pareto", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
