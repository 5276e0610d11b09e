"""The RAPL meter on a directory tree that looks like the kernel's."""

import os
from pathlib import Path

import pytest

from services.energy.meters.base import Unavailable
from services.energy.meters.rapl import rapl_meters
from services.energy.meters.sampled import MeterReadError, RefusedMeter, SampledMeter

MILLISECOND = 1_000_000
RANGE = 262_143_328_850


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000 * MILLISECOND

    def __call__(self) -> int:
        return self.now


class Powercap:
    """A powercap tree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def zone(self, folder: str, name: str, **files: int | str) -> Path:
        path = self.root / folder
        path.mkdir()
        values: dict[str, int | str] = {"energy_uj": 1_000_000, "max_energy_range_uj": RANGE}
        for file, value in {
            "name": name,
            **values,
            "constraint_0_power_limit_uw": 200_000_000,
            **files,
        }.items():
            (path / file).write_text(f"{value}\n")
        return path

    def show(self, folder: str, microjoules: int | str) -> None:
        (self.root / folder / "energy_uj").write_text(f"{microjoules}\n")


class Bench:
    """One package and its meter."""

    def __init__(self, powercap: Powercap, **files: int | str) -> None:
        self.powercap, self.clock = powercap, Clock()
        powercap.zone("intel-rapl:0", "package-0", **files)
        (meter,) = rapl_meters(0.02, self.clock, powercap.root)
        assert isinstance(meter, SampledMeter)
        self.meter = meter

    def poll(self, microjoules: int | str, after_milliseconds: int = 20) -> None:
        self.clock.now += after_milliseconds * MILLISECOND
        self.powercap.show("intel-rapl:0", microjoules)
        self.meter.poll()

    def microjoules(self) -> list[int | None]:
        """Of each window that has closed; None where it is unknown."""
        read, last, result = self.meter.read(), 0, list[int | None]()
        assert not isinstance(read, Unavailable), read.reason
        for reading in read:
            result.append(None if reading.follows_gap else reading.cumulative_microjoules - last)
            last = reading.cumulative_microjoules
        return result


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    return Powercap(tmp_path)


def test_packages_and_their_memory_are_metered_and_nothing_that_they_contain(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    powercap.zone("intel-rapl:0:0", "core")
    powercap.zone("intel-rapl:0:1", "uncore")
    powercap.zone("intel-rapl:0:2", "dram")
    powercap.zone("intel-rapl:1", "package-1")
    powercap.zone("intel-rapl:2", "psys")
    powercap.zone("intel-rapl-mmio:0", "package-0")
    (powercap.root / "intel-rapl").mkdir()
    meters = rapl_meters(0.02, root=powercap.root)
    assert [m.meter_id for m in meters] == ["rapl:package-0", "rapl:package-0/dram", "rapl:package-1"]
    assert {(m.kind, m.method, m.quality) for m in meters} == {("cpu/rapl", "rapl", "MEASURED")}


def test_a_counter_that_wraps_goes_on(powercap: Powercap) -> None:
    bench = Bench(powercap)
    for shown in (RANGE - 3_000_000, RANGE - 1_000_000, 500_000, 2_500_000):
        bench.poll(shown)
    assert bench.microjoules() == [None, 1_500_000, 2_000_000]


def test_a_counter_that_was_reset_is_not_taken_for_a_wrap(powercap: Powercap) -> None:
    bench = Bench(powercap)
    for shown in (100_000_000, 101_000_000, 5_000_000, 6_000_000):
        bench.poll(shown)
    assert bench.microjoules() == [None, None, 1_000_000]
    assert bench.meter.observed.unknown_windows == {"reset": 1}


def test_it_is_looked_at_twice_per_wrap_and_a_longer_pause_is_unknown(powercap: Powercap) -> None:
    # At 1.5 x 200 W these 6 J wrap every 20 ms, so that 10 ms may pass between two samples.
    bench = Bench(powercap, max_energy_range_uj=6_000_000)
    assert bench.meter.poll_seconds == pytest.approx(0.01)
    for shown, milliseconds in (
        (2_000_000, 5),
        (3_000_000, 5),
        (4_000_000, 5),
        (5_000_000, 25),
        (5_500_000, 5),
    ):
        bench.poll(shown, milliseconds)
    bench.poll(500_000, 5)
    assert bench.microjoules()[:3] == [None, 1_000_000, None]
    assert bench.meter.observed.unknown_windows == {"missed": 2}


def test_a_counter_that_is_there_but_unreadable_is_unavailable_and_never_0(powercap: Powercap) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0")
    (zone / "energy_uj").chmod(0)
    if os.access(zone / "energy_uj", os.R_OK):
        # Root reads everything; a folder in its place is what cannot be read then.
        (zone / "energy_uj").unlink()
        (zone / "energy_uj").mkdir()
    (meter,) = rapl_meters(0.02, root=powercap.root)
    assert isinstance(meter, RefusedMeter)
    assert str(zone / "energy_uj") in meter.read().reason
    assert "mount" in meter.read().reason


def test_a_file_that_only_root_may_read_says_how_to_let_others(
    powercap: Powercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    read_text = Path.read_text

    def guarded(path: Path, encoding: str) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", guarded)
    (meter,) = rapl_meters(0.02, root=powercap.root)
    assert isinstance(meter, RefusedMeter)
    assert "only root may read it" in meter.read().reason
    assert "chmod o+r" in meter.read().reason


@pytest.mark.parametrize("wrong", [0, -5, "none"])
def test_a_range_that_makes_no_sense_is_refused(powercap: Powercap, wrong: int | str) -> None:
    powercap.zone("intel-rapl:0", "package-0", max_energy_range_uj=wrong)
    (meter,) = rapl_meters(0.02, root=powercap.root)
    assert isinstance(meter, RefusedMeter)
    assert "max_energy_range_uj" in meter.read().reason


def test_a_counter_that_becomes_unreadable_is_away_and_may_come_back(powercap: Powercap) -> None:
    bench = Bench(powercap)
    for shown in (1_000_000, 2_000_000, 3_000_000):
        bench.poll(shown)
    assert bench.microjoules() == [None, 1_000_000]
    bench.poll("masked")
    away = bench.meter.read()
    assert isinstance(away, Unavailable)
    for shown in (9_000_000, 10_000_000, 11_500_000):
        bench.poll(shown)
    assert bench.microjoules() == [None, 1_500_000]
    assert bench.meter.observed.unknown_windows == {"unreadable": 1}


def test_a_machine_without_rapl_says_so(powercap: Powercap) -> None:
    with pytest.raises(MeterReadError, match="no CPU package"):
        rapl_meters(0.02, root=powercap.root)
    with pytest.raises(MeterReadError, match="no CPU package"):
        rapl_meters(0.02, root=powercap.root / "none")
