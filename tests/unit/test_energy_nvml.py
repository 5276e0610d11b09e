"""The NVML meter against the real pynvml, over a stand-in for the driver's library: no GPU is needed."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from services.core.energy_ledger import Reading
from services.energy.meters.base import Meter, Unavailable
from services.energy.meters.nvml import nvml_meters
from services.energy.meters.sampled import MeterReadError, RefusedMeter, SampledMeter
from tests.nvml_stand_in import StandIn

MILLISECOND = 1_000_000
POLL_SECONDS = 0.02
NOT_SUPPORTED, NO_PERMISSION, LIBRARY_NOT_FOUND, GPU_IS_LOST = 3, 4, 12, 15


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000 * MILLISECOND

    def __call__(self) -> int:
        return self.now


class Bench:
    """One GPU, its meter, and a hand that turns the clock."""

    def __init__(self, gpu: StandIn) -> None:
        self.gpu, self.clock = gpu, Clock()
        (meter,) = nvml_meters(POLL_SECONDS, self.clock)
        assert isinstance(meter, SampledMeter)
        self.meter = meter

    def poll(self, energy_mj: int | None = None, after_milliseconds: int = 20, **values: int) -> None:
        """Time goes on, the GPU shows something, the sampler looks."""
        self.clock.now += after_milliseconds * MILLISECOND
        self.gpu.play(**values, **({} if energy_mj is None else {"energy_mj": energy_mj}))
        self.meter.poll()

    def settle_in(self) -> None:
        """Counting has begun at 2,000 mJ."""
        self.poll(1000)
        self.poll(2000)
        (base,) = self.readings()
        assert base.follows_gap

    def readings(self) -> Sequence[Reading]:
        read = self.meter.read()
        assert not isinstance(read, Unavailable), read.reason
        return read

    def joules(self) -> list[float | None]:
        """Of each window since `settle_in`; None where it is unknown."""
        last, result = 0, list[float | None]()
        for reading in self.readings():
            result.append(None if reading.follows_gap else (reading.cumulative_microjoules - last) / 1e6)
            last = reading.cumulative_microjoules
        return result


def test_gpus_are_meters_named_by_uuid(gpu: StandIn) -> None:
    gpu.begin(gpus=3)
    meters: list[Meter] = nvml_meters(POLL_SECONDS)
    assert [m.meter_id for m in meters] == ["GPU-00000000", "GPU-00000001", "GPU-00000002"]
    assert {(m.kind, m.method, m.quality, m.detail) for m in meters} == {
        ("gpu/nvidia", "nvml", "MEASURED", "Stand-in GPU")
    }


def test_a_window_closes_when_the_counter_changes(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    for shown in (2000, 2000, 7000, 7000, 10_000):
        bench.poll(shown)
    first, second = bench.readings()
    assert (first.cumulative_microjoules, second.cumulative_microjoules) == (5_000_000, 8_000_000)
    assert second.monotonic_nanoseconds - first.monotonic_nanoseconds == 40 * MILLISECOND
    assert bench.meter.observed.update_period_seconds == pytest.approx(0.05)
    assert bench.readings() == ()


def test_a_reset_leaves_its_window_unknown_neither_0_nor_clamped(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    for shown in (5000, 100, 3100):
        bench.poll(shown)
    assert bench.joules() == [3.0, None, 3.0]
    assert bench.meter.observed.unknown_windows == {"reset": 1}


def test_a_rise_that_no_power_limit_allows_is_rejected_and_counted(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    # Between changes in two polls lie at most 40 ms: 1.5 x 400 W x 0.04 s = 24 J.
    for shown in (26_000, 50_001, 74_001):
        bench.poll(shown)
    assert bench.joules() == [24.0, None, 24.0]
    assert bench.meter.observed.unknown_windows == {"implausible": 1}


def test_a_power_limit_that_was_raised_since_is_heeded(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    bench.poll(32_000, limit_mw=500_000)
    bench.poll(62_000)
    assert bench.joules() == [None, 30.0]


def test_a_gpu_without_a_power_limit_is_held_to_the_assumed_one(gpu: StandIn) -> None:
    gpu.play(limit_code=NOT_SUPPORTED)
    bench = Bench(gpu)
    bench.settle_in()
    for shown in (82_000, 282_000):
        bench.poll(shown)
    assert bench.joules() == [80.0, None]


def test_a_counter_that_stands_still_is_away_until_it_moves_again(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    bench.poll(2000, after_milliseconds=1990)
    assert bench.readings() == ()
    bench.poll(2000)
    away = bench.meter.read()
    assert isinstance(away, Unavailable)
    assert "stood still" in away.reason
    for shown in (9000, 12_000):
        bench.poll(shown)
    assert bench.joules() == [None, 3.0]
    assert bench.meter.observed.unknown_windows == {"stopped": 1}


def test_a_gpu_that_is_lost_says_so_with_a_remedy_and_may_come_back(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    bench.poll(3000, energy_code=GPU_IS_LOST)
    away = bench.meter.read()
    assert isinstance(away, Unavailable)
    assert "NVML error 15" in away.reason
    assert "reset it or reboot" in away.reason
    bench.poll(4000, energy_code=0)
    assert bench.readings() == ()
    for shown in (5000, 6500):
        bench.poll(shown)
    assert bench.joules() == [None, 1.5]
    assert bench.meter.observed.unknown_windows == {"unreadable": 1}


def test_a_driver_that_never_returns_is_noticed(gpu: StandIn) -> None:
    bench = Bench(gpu)
    bench.settle_in()
    bench.clock.now += 3_000 * MILLISECOND
    away = bench.meter.read()
    assert isinstance(away, Unavailable)
    assert "has not answered for 3 s" in away.reason


@pytest.mark.parametrize(
    ("played", "reason"),
    [
        ({"mig": 1}, "MIG is on"),
        ({"virtualization": 2}, "vGPU of a board that other machines use"),
        ({"virtualization": 3}, "shared out to virtual machines"),
        ({"multi_gpu": 1}, "several GPUs share this board"),
        ({"mig_code": NO_PERMISSION}, "access to /dev/nvidia"),
        ({"handle_code": GPU_IS_LOST}, "fell off its bus"),
        ({"energy_code": GPU_IS_LOST}, "fell off its bus"),
        ({"limit_code": NO_PERMISSION}, "access to /dev/nvidia"),
    ],
)
def test_a_board_that_cannot_be_charged_to_requests_is_refused_and_hides_no_other(
    gpu: StandIn, played: dict[str, int], reason: str
) -> None:
    gpu.begin(gpus=2)
    gpu.play(**played)
    refused, other = nvml_meters(POLL_SECONDS)
    assert isinstance(refused, RefusedMeter)
    assert reason in refused.read().reason
    assert isinstance(other, SampledMeter)


def test_a_board_that_is_passed_through_whole_is_metered(gpu: StandIn) -> None:
    gpu.play(virtualization=1, mig_code=NOT_SUPPORTED, multi_gpu_code=NOT_SUPPORTED)
    assert isinstance(nvml_meters(POLL_SECONDS)[0], SampledMeter)


def test_a_driver_that_cannot_be_used_says_what_to_do(gpu: StandIn) -> None:
    gpu.play(init_code=LIBRARY_NOT_FOUND)
    with pytest.raises(MeterReadError, match="install the NVIDIA driver"):
        nvml_meters(POLL_SECONDS)


def test_without_a_counter_instantaneous_power_is_integrated(gpu: StandIn) -> None:
    gpu.play(energy_code=NOT_SUPPORTED)
    bench = Bench(gpu)
    assert bench.meter.method == "power_integration"
    bench.poll()
    bench.poll()
    bench.poll(power_mw=300_000)
    bench.poll()
    # Trapezoids between 100, 100, 300 and 300 W, 20 ms apart; the first one only sets where counting begins.
    assert bench.joules() == [None, pytest.approx(4.0), pytest.approx(6.0)]


def test_power_that_was_not_looked_at_for_long_is_unknown(gpu: StandIn) -> None:
    gpu.play(energy_code=NOT_SUPPORTED)
    bench = Bench(gpu)
    bench.poll()
    bench.poll()
    bench.poll(after_milliseconds=600)
    assert bench.joules() == [None]
    away = bench.meter.read()
    assert isinstance(away, Unavailable)
    assert "0.6 s" in away.reason
    for _ in range(3):
        bench.poll()
    assert bench.joules() == [None, pytest.approx(2.0)]


@pytest.mark.parametrize(
    ("played", "reason"),
    [
        ({"field_code": NOT_SUPPORTED}, "POWER_INSTANT"),
        ({"field_scope": 1}, "(186, 1, 1)"),
        ({"field_type": 3}, "(186, 0, 3)"),
        ({"power_code": NO_PERMISSION}, "access to /dev/nvidia"),
    ],
)
def test_power_is_used_only_if_its_own_value_is_good_and_of_the_gpu(
    gpu: StandIn, played: dict[str, int], reason: str
) -> None:
    gpu.play(energy_code=NOT_SUPPORTED, **played)
    (refused,) = nvml_meters(POLL_SECONDS)
    assert isinstance(refused, RefusedMeter)
    assert reason in refused.read().reason


def run_for(bench: Bench, seconds: float, watts: Callable[[float], float], counted: float = 1.0) -> None:
    """A GPU at `watts(t)` whose counter, `counted` times the truth, is updated every 60 ms, 100 ms late."""
    energies = [5_000.0]
    first = bench.clock.now
    for i in range(round(seconds / POLL_SECONDS)):
        now = i * POLL_SECONDS
        energies.append(energies[-1] + watts(now) * counted * POLL_SECONDS * 1e3)
        told = max(0, (i // 3) * 3 - 5)
        bench.poll(int(energies[told]), power_mw=round(watts(now) * 1e3))
    assert bench.clock.now - first == round(seconds * 1000) * MILLISECOND


def busy(seconds: float) -> float:
    return 300.0 if int(seconds * 1000) % 700 < 300 else 80.0


def test_the_self_check_finds_the_lag_and_shifts_the_windows_by_it(gpu: StandIn) -> None:
    bench = Bench(gpu)
    run_for(bench, 5.5, busy)
    observed = bench.meter.observed
    assert observed.lag_seconds == pytest.approx(0.1, abs=0.021)
    assert observed.update_period_seconds == pytest.approx(0.06, rel=0.05)
    assert (observed.suspect, dict(observed.unknown_windows)) == ("", {})
    lag_nanoseconds = round((observed.lag_seconds or 0) * 1e9)
    bench.readings()
    run_for(bench, 0.1, busy)
    shifts = {bench.clock.now - lag_nanoseconds - r.monotonic_nanoseconds for r in bench.readings()}
    assert all(0 <= shift <= 100 * MILLISECOND for shift in shifts)
    assert shifts


def test_an_even_power_tells_no_lag_but_compares_the_joules(gpu: StandIn) -> None:
    bench = Bench(gpu)
    run_for(bench, 5.5, lambda _: 90.0)
    assert (bench.meter.observed.lag_seconds, bench.meter.observed.suspect) == (None, "")
    # The next check comes after a pause, and by then there is work.
    run_for(bench, 16.0, busy)
    assert bench.meter.observed.lag_seconds == pytest.approx(0.1, abs=0.021)


@pytest.mark.parametrize("counted", [0.8, 1.25])
def test_a_counter_far_from_the_integrated_power_is_suspect(gpu: StandIn, counted: float) -> None:
    bench = Bench(gpu)
    run_for(bench, 5.5, busy, counted)
    assert f"{counted:.0%}".rstrip("%") in bench.meter.observed.suspect


def test_a_counter_is_metered_although_no_power_can_be_compared(gpu: StandIn) -> None:
    gpu.play(field_code=NOT_SUPPORTED)
    bench = Bench(gpu)
    bench.settle_in()
    bench.poll(5000)
    assert bench.joules() == [3.0]


def test_one_thread_samples_and_the_reader_never_waits(gpu: StandIn) -> None:
    gpu.play(rise_mj=100)
    (meter,) = nvml_meters(POLL_SECONDS)
    assert isinstance(meter, SampledMeter)
    before = gpu.energy_calls
    meter.start()
    try:
        assert [t.name for t in threading.enumerate()].count("meter GPU-00000000") == 1
        readings: list[Reading] = []
        deadline = time.monotonic() + 10
        while len(readings) < 5 and time.monotonic() < deadline:
            read = meter.read()
            assert not isinstance(read, Unavailable)
            readings += read
    finally:
        meter.stop()
    assert [r.cumulative_microjoules for r in readings[:5]] == [0, 100_000, 200_000, 300_000, 400_000]
    assert gpu.energy_calls - before >= 6
    assert "meter GPU-00000000" not in [t.name for t in threading.enumerate()]
