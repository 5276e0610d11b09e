"""What of a zoo file may change while services run, and how a wrong file is refused."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.live_zoo import LiveZoo, changed_zoo, zoo_name
from services.common.server import ServiceServer
from services.common.zoo import Zoo
from services.common.zoo_file import load_zoo
from services.core.errors import ConfigError

DATA: dict[str, Any] = {
    "name": "live",
    "models": [{"id": m, "engine": "echo"} for m in ("small", "large")],
    "workers": [{"model": m, "address": f"127.0.0.1:{p}"} for m, p in (("small", 7001), ("large", 7002))],
    "sla_classes": [{"name": "standard", "min_satisfaction": 0.6}],
}


def written(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(DATA | changes))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "zoo.yaml")


def refused(file: Path, **changes: Any) -> list[str]:
    current = load_zoo(file)
    with pytest.raises(ConfigError) as error:
        changed_zoo(written(file, **changes), current)
    return [str(problem) for problem in error.value.problems]


def test_models_workers_classes_and_priors_may_change(file: Path) -> None:
    current = load_zoo(file)
    models = [{"id": "huge", "engine": "echo"}, DATA["models"][1] | {"prior": {"satisfaction": 0.7}}]
    workers = [{"model": "huge", "address": "127.0.0.1:7009"}, DATA["workers"][1]]
    classes = [{"name": "strict", "min_satisfaction": 0.9}]
    zoo = changed_zoo(written(file, models=models, workers=workers, sla_classes=classes), current)
    assert zoo.model_ids == ("huge", "large")
    assert zoo_name(zoo) != zoo_name(current)
    assert zoo_name(load_zoo(written(file))) == zoo_name(current)


def test_what_takes_a_restart_is_refused_all_at_once(file: Path) -> None:
    faster = [DATA["models"][0] | {"threads": 2}, DATA["models"][1]]
    problems = refused(
        file,
        name="other",
        policy={"name": "messplus-2025"},
        features="embedding",
        feedback_address="127.0.0.1:7100",
        models=faster,
    )
    keys = [line.split(": ")[1].split(" = ")[0] for line in problems]
    assert keys == ["features", "feedback_address", "name", "policy.name", "models[0].threads"]
    assert all("restart" in line for line in problems)
    assert "models[0].threads = 2: cannot change while the model runs: give it another id" in problems[-1]
    assert problems[-1].endswith("(running: 1)")


def test_a_wrong_file_is_refused_with_its_own_problems(file: Path) -> None:
    workers = [*DATA["workers"], {"model": "nobody", "address": "here"}]
    problems = refused(file, workers=workers)
    assert len(problems) == 2
    assert "must be one of the models: small, large" in problems[1]


async def test_a_hang_up_signal_reads_the_file_and_a_refused_one_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live, server, taken = LiveZoo(file), ServiceServer("127.0.0.1:0", [], 0.0), list[Zoo]()

    async def take_over(zoo: Zoo) -> None:
        taken.append(zoo)

    async def signalled() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(live.follow(take_over, server), 10)

    before = live.zoo
    written(file, name="other", features="embedding")
    await signalled()
    assert (taken, live.zoo) == ([], before)
    assert [r.levelname for r in caplog.records] == ["ERROR", "ERROR"]
    assert "the zoo stays as it is" in caplog.text
    written(file, sla_classes=[{"name": "strict", "min_satisfaction": 0.9}])
    await signalled()
    assert taken == [live.zoo]
    assert live.zoo.sla_classes[0].name == "strict"


def test_the_counters_of_a_running_worker_are_fixed_and_a_new_worker_brings_its_own(file: Path) -> None:
    counters = {"energy": {"meter": "nvml"}}
    current = load_zoo(written(file, **counters))
    moved = [DATA["workers"][0] | {"device_ids": ["GPU-a"]}, DATA["workers"][1]]
    with pytest.raises(ConfigError, match=r"workers\[0\].device_ids = .* give it another address"):
        changed_zoo(written(file, workers=moved, **counters), current)
    moved[0]["address"] = "127.0.0.1:7009"
    zoo = changed_zoo(written(file, workers=moved, **counters), current)
    assert zoo.workers[0].device_ids == ("GPU-a",)
