"""`messplus meters` as a user runs it, with the stand-in where the loader looks for NVIDIA's library."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.meters import survey as survey_module
from cli.meters.survey import survey
from cli.meters.view import meters_json
from services.common.zoo import EnergySettings
from services.energy.meters.rapl import rapl_meters
from tests.nvml_stand_in import COMPILER, NO_COMPILER, build

needs_compiler = pytest.mark.skipif(COMPILER is None, reason=NO_COMPILER)
Row = dict[str, Any]


def run(library: Path, *arguments: str, gpus: int = 1, played: str = "0.rise_mj=2000") -> str:
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library.parent),
        "NVML_STAND_IN_GPUS": str(gpus),
        "NVML_STAND_IN": played,
    }
    command = [sys.executable, "-c", "from cli.entry import main; main()", "meters", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    return done.stdout


def rows(text: str, setting: str = "nvml") -> list[Row]:
    return [row for row in json.loads(text) if row["setting"] == setting]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@needs_compiler
def test_gpus_are_listed_with_quality_power_and_why_one_is_refused(library: Path) -> None:
    text = run(library, "--json", "--seconds", "1.5", gpus=2, played="0.rise_mj=2000 1.mig=1")
    counter, refused = rows(text)
    assert (counter["meter_id"], counter["quality"], counter["available"]) == (
        "GPU-00000000",
        "counter",
        True,
    )
    # Every look shows 2 J more, and looks are 20 ms apart, or more on a busy machine.
    assert counter["update_period_seconds"] >= 0.02
    assert 0 < counter["power_watts"] <= 2.0 / 0.02
    assert (refused["meter_id"], refused["available"]) == ("GPU-00000001", False)
    assert "nvidia-smi -mig 0" in refused["reason"]


@needs_compiler
def test_the_table_says_the_same_in_words(library: Path) -> None:
    text = run(library, "--seconds", "0.2")
    assert "GPU-00000000" in text
    assert "Stand-in GPU" in text
    assert "cpu-process *" in text


@needs_compiler
def test_a_driver_too_old_for_the_counter_is_metered_by_its_power(tmp_path: Path) -> None:
    old = build(tmp_path, "-DWITHOUT_COUNTER", "-DWITHOUT_OPTIONAL")
    (row,) = rows(run(old, "--json", "--seconds", "1.5"))
    assert (row["quality"], row["available"]) == ("power integration", True)
    assert row["power_watts"] == pytest.approx(100.0, rel=0.01)


@needs_compiler
def test_a_driver_that_fails_gives_the_reason_and_the_other_meters(library: Path) -> None:
    text = run(library, "--json", played="0.init_code=18")
    (row,) = rows(text)
    assert (row["meter_id"], row["available"]) == ("", False)
    assert "library and kernel driver differ: reboot" in row["reason"]
    (cpu,) = rows(text, "cpu-process")
    assert (cpu["available"], cpu["quality"], cpu["in_use"]) == (True, "modelled", True)


def test_rapl_is_listed_with_the_zones_that_the_zoo_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        zone = tmp_path / f"intel-rapl:{i}"
        zone.mkdir()
        files = {"name": f"package-{i}", "energy_uj": "5", "max_energy_range_uj": "262143328850"}
        for name, value in files.items():
            (zone / name).write_text(value)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("masked")
    counters = {"rapl": lambda seconds, clock: rapl_meters(seconds, clock, tmp_path)}
    monkeypatch.setattr(survey_module, "COUNTERS", counters)
    found = survey(EnergySettings(meter="rapl", devices=("rapl:package-0",)), seconds=0.1)
    listed = rows(meters_json(found), "rapl")
    assert [(row["meter_id"], row["available"], row["in_use"]) for row in listed] == [
        ("rapl:package-0", True, True),
        ("rapl:package-1", False, False),
    ]
    assert "containers hide it" in listed[1]["reason"]
