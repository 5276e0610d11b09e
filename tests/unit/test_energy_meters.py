"""Meters: CPU time becomes microjoules, traces play once, and a bad trace names every bad row."""

from pathlib import Path

import pytest

from services.core.energy_ledger import Reading
from services.core.errors import ConfigError
from services.energy.meters.base import Meter, Unavailable
from services.energy.meters.cpu_process import CpuProcessMeter
from services.energy.meters.replay import ReplayMeter, load_trace

SECOND = 1_000_000_000


class FakeClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 7 * SECOND

    def __call__(self) -> int:
        return self.now


def test_cpu_time_is_read_as_energy() -> None:
    meter: Meter = CpuProcessMeter("w", watts_per_core=12.5)
    assert isinstance(meter.read(), Unavailable)
    assert isinstance(meter, CpuProcessMeter)
    meter.observe(5, 0.1234567)
    assert meter.read() == [Reading(5, 1_543_209)]
    assert (meter.meter_id, meter.quality, meter.watts_per_core) == ("process-cpu:w", "MODELLED", 12.5)


def test_a_trace_plays_from_now_and_then_ends() -> None:
    clock = FakeClock()
    meter: Meter = ReplayMeter([(100.0, 50.0), (101.0, 58.0), (103.0, 60.5)], "trace.csv", clock)
    assert meter.read() == [Reading(7 * SECOND, 0)]
    assert meter.read() == []
    clock.now += 9 * SECOND
    assert meter.read() == [Reading(8 * SECOND, 8_000_000), Reading(10 * SECOND, 10_500_000)]
    ended = meter.read()
    assert isinstance(ended, Unavailable)
    assert "ended" in ended.reason
    assert "trace.csv" in meter.detail


def test_a_trace_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("seconds,joules\n0,1\n0.5,2.5\n")
    assert load_trace(file) == [(0.0, 1.0), (0.5, 2.5)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [":1"]),
        ("time,energy\n1,1\n", [":1"]),
        ("seconds,joules\n1,1\n", [""]),
        ("seconds,joules\n1,1\nx,2\n2,nan\n1,5\n3,0.5\n4,9\n", [":3", ":4", ":5", ":6"]),
    ],
)
def test_a_bad_trace_names_every_bad_row(tmp_path: Path, text: str, lines: list[str]) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_trace(file)
    assert [problem.location for problem in error.value.problems] == [f"{file}{line}" for line in lines]


def test_a_missing_trace_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_trace(tmp_path / "none.csv")
