"""The use case over fake workers and a fake log: who is charged, when a figure is final, what survives."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from energy_reports import Told, of, told, worker_report
from hypothesis import given
from hypothesis import strategies as st

from services.core.energy_ledger import Reading
from services.core.errors import InvalidRequestError, NotFoundError, StateUnavailableError
from services.core.events import EnergyAttributed
from services.core.steps import GenerationWork, StepCoefficients
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.metering import MeterStatus
from services.energy.meters.base import Observed, Unavailable
from services.energy.outbox import Outbox
from services.energy.power import PowerGauge
from services.energy.recent import RecentEnergy
from services.energy.reports import Receipt, ReportedGeneration, WorkerReport

SECOND = 1_000_000_000
WATTS = 10.0


def settings(idle_watts: float = 0.0) -> AccountingSettings:
    costs = StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)
    return AccountingSettings(WATTS, idle_watts, {"small": costs, "large": costs}, "boot", 10.0)


def work(generation_id: str, finished: bool = False) -> tuple[GenerationWork, ReportedGeneration]:
    return of(GenerationWork(generation_id, 0, 1, 0), f"r-{generation_id}", finished)


def report(
    at: int, cpu_seconds: float, *steps: Told, worker_id: str = "w", warming_up: bool = False
) -> WorkerReport:
    return worker_report(worker_id, at, cpu_seconds, steps, warming_up)


step = told


class Bench:
    """The use case with what it published."""

    def __init__(
        self, *counters: "FakeCounter", idle_watts: float = 0.0, greeting_seconds: float = 0.0
    ) -> None:
        self.published: list[EnergyAttributed] = []
        self.recent = RecentEnergy(100)
        conditions = replace(settings(idle_watts), greeting_seconds=greeting_seconds)
        self.accounting = EnergyAccounting(conditions, counters, self.recent, self.published.append, {})

    def take(self, *reports: WorkerReport) -> Receipt:
        receipt = Receipt()
        for each in reports:
            receipt += self.accounting.take_report(each, each.monotonic_nanoseconds)
        return receipt

    def joules(self) -> dict[str, float]:
        return {figure.generation_id: figure.energy_joules for figure in self.published}

    def meter(self) -> MeterStatus:
        (status,) = self.accounting.meters()
        return status

    def unattributed(self) -> dict[str, float]:
        reasons = self.meter().balance.unattributed_microjoules
        return {reason.value: part / 1e6 for reason, part in reasons.items() if part}


class FakeCounter:
    """A counter that shows what it is told to."""

    kind, method, quality, detail = "gpu/fake", "fake", "MEASURED", ""
    watts_per_core: float | None = None
    observed = Observed()

    def __init__(self, meter_id: str = "gpu-0") -> None:
        self.meter_id = meter_id
        self.shown: Reading | Unavailable = Reading(0, 0)

    def read(self) -> Sequence[Reading] | Unavailable:
        return self.shown if isinstance(self.shown, Unavailable) else [self.shown]


class FakeLog:
    """A log that can be away."""

    def __init__(self) -> None:
        self.events: list[EnergyAttributed] = []
        self.away = False

    async def append(self, events: Sequence[EnergyAttributed]) -> None:
        if self.away:
            raise StateUnavailableError("away")
        self.events += events

    async def tail(self, limit: int) -> list[EnergyAttributed]:
        return self.events[-limit:]


def test_a_lone_generation_is_charged_the_cpu_time_of_its_steps() -> None:
    bench = Bench()
    bench.take(report(0, 1.0), report(1, 1.5, step(0, 1, work("a"))))
    assert bench.published == []
    bench.take(report(2, 2.25, step(1, 2, work("a", finished=True))))
    (figure,) = bench.published
    assert (figure.request_id, figure.model_id, figure.energy_joules) == ("r-a", "small", 12.5)
    assert (figure.quality, figure.method, figure.tier) == ("MODELLED", "process-cpu", "B")
    assert bench.accounting.of_request("r-a") == [figure]


def test_concurrent_generations_share_and_nothing_is_counted_twice() -> None:
    bench = Bench()
    both = step(0, 1, work("a"), work("b", finished=True))
    bench.take(report(0, 0.0), report(1, 1.0, both), report(2, 3.0, step(1, 2, work("a", finished=True))))
    assert bench.joules() == {"b": 5.0, "a": 25.0}


def test_loading_and_warming_up_are_overhead() -> None:
    bench = Bench()
    bench.take(report(5, 3.0, warming_up=True), report(6, 4.0, step(5, 6, work("probe")), warming_up=True))
    bench.take(report(7, 4.5))
    assert bench.unattributed() == {"overhead": 40.0, "unknown": 5.0}
    assert bench.published == []


def test_workers_of_new_models_report_and_those_of_removed_ones_end_their_answers() -> None:
    bench = Bench()
    new = replace(report(1, 0.0, worker_id="new"), model_id="huge")
    bench.take(report(1, 0.0))
    with pytest.raises(InvalidRequestError, match="model_id"):
        bench.take(new)
    bench.accounting.change_models({"huge": StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)}, {}, {})
    bench.take(new, replace(report(2, 1.0, step(1, 2, work("n", True)), worker_id="new"), model_id="huge"))
    bench.take(report(2, 1.0, step(1, 2, work("g", True))))
    assert bench.joules() == {"n": WATTS, "g": WATTS}


def test_an_idle_worker_burns_idle_power() -> None:
    bench = Bench(idle_watts=0.5)
    bench.take(report(0, 0.0), report(10, 0.25))
    assert bench.unattributed() == {"idle": 2.5}


def test_a_restarted_worker_ends_what_it_ran_and_is_never_negative() -> None:
    bench = Bench()
    bench.take(report(0, 5.0), report(1, 6.0, step(0, 1, work("a"))))
    bench.take(report(3, 0.5), report(4, 1.0, step(3, 4, work("b", finished=True))))
    assert bench.joules() == {"a": 10.0, "b": 5.0}
    assert bench.meter().balance.measured_microjoules == 15_000_000


def test_a_rebooted_host_begins_with_a_new_clock() -> None:
    bench = Bench()
    bench.take(report(100, 5.0), report(101, 6.0, step(100, 101, work("a"))))
    rebooted = [report(1, 0.5), report(2, 1.5, step(1, 2, work("b", finished=True)))]
    bench.take(*(replace(each, boot_id="next") for each in rebooted))
    assert bench.joules() == {"a": 10.0, "b": 10.0}


def test_a_silent_worker_is_gone_and_its_generations_keep_what_they_burned() -> None:
    bench = Bench()
    bench.take(report(0, 0.0), report(1, 1.0, step(0, 1, work("a"))))
    bench.accounting.tick(11 * SECOND)
    assert bench.published == []
    bench.accounting.tick(12 * SECOND)
    assert bench.joules() == {"a": 10.0}
    assert not bench.meter().available
    receipt = bench.take(report(14, 3.0, step(1, 14, work("a", finished=True))))
    assert receipt.accepted_steps == 1
    assert len(bench.published) == 1
    assert bench.unattributed() == {"late": 20.0}
    assert bench.meter().available


def test_a_report_that_is_sent_again_changes_nothing() -> None:
    bench = Bench()
    twice = report(1, 1.0, step(0, 1, work("a", finished=True)))
    receipt = bench.take(report(0, 0.0), twice, twice)
    assert (receipt.accepted_steps, receipt.late_steps) == (1, 1)
    assert bench.joules() == {"a": 10.0}
    assert bench.unattributed() == {}


def test_a_shared_counter_waits_for_every_worker() -> None:
    counter = FakeCounter()
    bench = Bench(counter)
    bench.accounting.tick(0)
    bench.take(report(0, 0.0, worker_id="v"), report(0, 0.0, worker_id="w"))
    bench.take(report(2, 0.0, step(0, 2, work("a", finished=True)), worker_id="v"))
    counter.shown = Reading(2 * SECOND, 8_000_000)
    bench.accounting.tick(2 * SECOND)
    assert bench.published == []
    bench.take(report(2, 0.0, step(0, 2, work("b", finished=True)), worker_id="w"))
    assert bench.joules() == {"a": 4.0, "b": 4.0}
    assert {figure.quality for figure in bench.published} == {"MEASURED"}


def test_at_first_windows_wait_for_workers_that_have_to_find_the_service_again() -> None:
    counter = FakeCounter()
    bench = Bench(counter, greeting_seconds=3.0)
    bench.accounting.tick(0)
    counter.shown = Reading(2 * SECOND, 8_000_000)
    bench.accounting.tick(2 * SECOND)
    bench.take(report(2, 0.0, step(0, 2, work("a", finished=True))))
    assert bench.joules() == {}
    bench.accounting.tick(3 * SECOND)
    assert (bench.joules(), bench.unattributed()) == ({"a": 8.0}, {})


def test_a_counter_that_is_away_is_never_taken_for_zero_joules() -> None:
    counter = FakeCounter()
    bench = Bench(counter)
    bench.accounting.tick(0)
    counter.shown = Unavailable("pulled out")
    bench.accounting.tick(SECOND)
    bench.take(report(1, 0.0, step(0, 1, work("a", finished=True))))
    assert bench.published == []
    assert (bench.meter().available, bench.meter().detail) == (False, "pulled out")
    with pytest.raises(NotFoundError):
        bench.accounting.of_request("r-a")


def test_a_counter_that_stops_turns_figures_into_estimates_and_requests_go_on() -> None:
    counter = FakeCounter()
    bench = Bench(counter)
    bench.accounting.tick(0)
    bench.take(report(0, 0.0))
    counter.shown = Reading(SECOND, 5_000_000)
    bench.accounting.tick(SECOND)
    counter.shown = Unavailable("pulled out")
    bench.accounting.tick(2 * SECOND)
    bench.take(report(2, 0.0, step(0, 2, work("a", finished=True))))
    (figure,) = bench.published
    # 5 J that were measured, and half of the step's 0.3 J that were not.
    assert (figure.energy_joules, figure.quality, figure.method) == (5.15, "ESTIMATED", "coefficients+fake")
    counter.shown = Reading(3 * SECOND, 9_000_000)
    bench.accounting.tick(3 * SECOND)
    counter.shown = Reading(4 * SECOND, 11_000_000)
    bench.accounting.tick(4 * SECOND)
    bench.take(report(4, 0.0, step(3, 4, work("b", finished=True))))
    assert (bench.published[1].energy_joules, bench.published[1].quality) == (2.0, "MEASURED")
    assert bench.meter().available
    assert bench.meter().balance.measured_microjoules == 7_000_000


def test_a_tensor_parallel_worker_is_charged_the_sum_of_its_counters_and_no_other() -> None:
    counters = [FakeCounter(f"gpu-{i}") for i in range(3)]
    bench = Bench(*counters)
    bench.accounting.tick(0)
    bench.take(replace(report(0, 0.0), device_ids=("gpu-0", "gpu-2")))
    for i, counter in enumerate(counters):
        counter.shown = Reading(SECOND, (i + 1) * 1_000_000)
    bench.accounting.tick(SECOND)
    both = replace(report(1, 0.0, step(0, 1, work("a", finished=True))), device_ids=("gpu-0", "gpu-2"))
    bench.take(both)
    assert bench.joules() == {"a": 4.0}
    balances = {
        status.meter_id: status.balance.attributed_microjoules for status in bench.accounting.meters()
    }
    assert balances == {"gpu-0": 1_000_000, "gpu-1": 0, "gpu-2": 3_000_000}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(report(1, 0.0), model_id="huge"), "model_id"),
        (replace(report(1, 0.0), device_ids=("gpu-9",)), "device_ids[0]"),
    ],
)
def test_a_report_that_fits_no_model_or_meter_is_refused(wrong: WorkerReport, field: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        Bench().take(wrong)
    assert [violation.field for violation in error.value.violations] == [field]


def test_a_clock_that_goes_backwards_and_a_foreign_boot_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="monotonic_nanoseconds"):
        Bench().take(report(2, 0.0), report(1, 0.0))
    with pytest.raises(InvalidRequestError, match="boot_id"):
        Bench(FakeCounter()).take(replace(report(1, 0.0), boot_id="elsewhere"))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 5), st.sampled_from(["a", "b", "c"]), st.booleans()))
)
def test_published_joules_plus_unattributed_are_the_cpu_seconds_times_watts(
    moves: list[tuple[int, float, str, bool]],
) -> None:
    bench = Bench(idle_watts=0.5)
    bench.take(report(0, 1.0))
    now, cpu_seconds = 0, 1.0
    for i, (duration, used, name, finished) in enumerate(moves):
        steps = [step(now, now + duration, work(f"{name}{i // 5}", finished))] if name != "c" else []
        now, cpu_seconds = now + duration, cpu_seconds + used
        bench.take(report(now, cpu_seconds, *steps))
    bench.accounting.close()
    measured = round(cpu_seconds * WATTS * 1e6) - round(1.0 * WATTS * 1e6)
    published = sum(round(figure.energy_joules * 1e6) for figure in bench.published)
    assert published + sum(bench.meter().balance.unattributed_microjoules.values()) == measured
    assert len({figure.generation_id for figure in bench.published}) == len(bench.published)


def figure(name: str, joules: float = 1.0) -> EnergyAttributed:
    return EnergyAttributed(f"r-{name}", name, "small", joules)


async def test_events_wait_in_order_while_the_log_is_away_and_the_oldest_gives_way() -> None:
    log = FakeLog()
    outbox = Outbox(log, capacity=2)
    log.away = True
    for name in "abc":
        outbox.put(figure(name))
    with pytest.raises(StateUnavailableError):
        await outbox.flush()
    log.away = False
    await asyncio.wait_for(outbox.flush(), 1)
    assert [event.generation_id for event in log.events] == ["b", "c"]
    assert (outbox.dropped, len(outbox)) == (1, 0)


def test_recent_figures_are_bounded_and_what_came_since_the_start_wins() -> None:
    recent = RecentEnergy(2)
    recent.add([figure("new", 5.0)])
    recent.refill([figure("old"), figure("older"), figure("new", 1.0)])
    assert [event.energy_joules for event in recent.of_request("r-new")] == [5.0]
    assert recent.of_request("r-old") == []
    assert "older" in recent.generation_ids
    assert "old" not in recent.generation_ids


def test_power_is_the_rise_over_the_time() -> None:
    gauge = PowerGauge()
    assert gauge.watts("m", SECOND, 5_000_000) == 0.0
    assert gauge.watts("m", 3 * SECOND, 35_000_000) == 15.0
