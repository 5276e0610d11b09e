"""Reports that make no sense: refused with the reason or counted as late, never charged, and work goes on."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from energy_reports import Told, of, told, worker_report
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb

from services.core.energy_ledger import Reading
from services.core.errors import InvalidRequestError
from services.core.events import EnergyAttributed
from services.core.steps import GenerationWork, StepCoefficients
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.meters.base import Observed
from services.energy.recent import RecentEnergy
from services.energy.report_parsing import parse_report
from services.energy.reports import Receipt, WorkerReport

SECOND = 1_000_000_000


class Gpu:
    """A counter that shows 10 J more every second."""

    meter_id, kind, method, quality, detail = "GPU-0", "gpu/fake", "fake", "MEASURED", ""
    watts_per_core: float | None = None
    observed = Observed()

    def __init__(self) -> None:
        self.seconds = 0

    def read(self) -> Sequence[Reading]:
        return [Reading(self.seconds * SECOND, self.seconds * 10_000_000)]


class Host:
    """The use case over one GPU, whose windows close when all its workers have reported."""

    def __init__(self, *workers: str) -> None:
        self.gpu, self.published = Gpu(), list[EnergyAttributed]()
        costs = StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)
        settings = AccountingSettings(10.0, 0.0, {"small": costs}, "boot", 100.0)
        self.accounting = EnergyAccounting(settings, [self.gpu], RecentEnergy(10), self.published.append, {})
        self.accounting.tick(0)
        for worker in workers:
            self.take(report(0, worker=worker))

    def take(self, told: WorkerReport) -> Receipt:
        return self.accounting.take_report(told, self.gpu.seconds * SECOND)

    def wait(self, seconds: int) -> None:
        """Until then, with a window of each second."""
        while self.gpu.seconds < seconds:
            self.gpu.seconds += 1
            self.accounting.tick(self.gpu.seconds * SECOND)

    def joules(self) -> dict[str, float]:
        return {figure.generation_id: figure.energy_joules for figure in self.published}

    def unattributed(self) -> dict[str, float]:
        (status,) = self.accounting.meters()
        balance = status.balance
        reasons = {reason.value: part / 1e6 for reason, part in balance.unattributed_microjoules.items()}
        assert balance.attributed_microjoules / 1e6 + sum(reasons.values()) == (
            balance.measured_microjoules / 1e6
        )
        return {reason: joules for reason, joules in reasons.items() if joules}


def step(start: int, end: int, generation_id: str, finished: bool = True) -> Told:
    return told(start, end, of(GenerationWork(generation_id, 0, 1, 0), "r", finished))


def report(at: int, *steps: Told, worker: str = "w") -> WorkerReport:
    return worker_report(worker, at, 0.0, steps)


def refusal(host: Host, told: WorkerReport) -> str:
    with pytest.raises(InvalidRequestError) as error:
        host.take(told)
    (violation,) = error.value.violations
    return f"{violation.field} {violation.description}"


def test_a_report_from_the_future_is_refused_and_holds_up_nothing() -> None:
    host = Host("w")
    host.wait(2)
    said = refusal(host, report(3, step(2, 3, "early")))
    assert said == "monotonic_nanoseconds is 3000000000, must not be in the future: it is 2000000000 now"
    host.take(report(2, step(1, 2, "a")))
    assert host.joules() == {"a": 10.0}
    assert host.unattributed() == {"unknown": 10.0}


def test_the_clock_of_another_boot_is_not_compared() -> None:
    host = EnergyAccounting(
        AccountingSettings(10.0, 0.0, {"small": StepCoefficients(0, 0, 1, 0, 0)}, "here", 100.0),
        [],
        RecentEnergy(10),
        lambda _: None,
        {},
    )
    assert host.take_report(report(5), 0) == Receipt()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"device_ids": ("GPU-9",)}, "device_ids[0] is 'GPU-9'; the meters here: GPU-0"),
        ({"model_id": "huge"}, "model_id is 'huge', must be one of: small"),
        ({"boot_id": "other"}, "boot_id is 'other'; a shared counter needs this host's clock"),
        ({"monotonic_nanoseconds": 0}, "monotonic_nanoseconds is 0, must not be before"),
    ],
)
def test_what_a_known_worker_may_not_say_changes_nothing_of_its_work(
    change: dict[str, object], says: str
) -> None:
    host = Host("w")
    host.wait(1)
    host.take(report(1, step(0, 1, "a", finished=False)))
    host.wait(2)
    assert refusal(host, replace(report(2, step(1, 2, "a")), **change)).startswith(says)  # type: ignore[arg-type]
    assert host.joules() == {}
    host.take(report(2, step(1, 2, "a")))
    assert host.joules() == {"a": 20.0}


def test_steps_that_are_told_twice_before_their_window_closes_count_once() -> None:
    host = Host("v", "w")
    host.wait(1)
    told = report(1, step(0, 1, "a"))
    assert (host.take(told).late_steps, host.take(told).late_steps) == (0, 1)
    host.take(report(1, step(0, 1, "b"), worker="v"))
    assert host.joules() == {"a": 5.0, "b": 5.0}


def test_a_step_from_before_the_last_report_is_late_and_not_charged() -> None:
    host = Host("w")
    host.wait(3)
    host.take(report(3, step(1, 3, "a")))
    assert host.joules() == {"a": 20.0}
    receipt = host.take(report(3, step(2, 3, "b")))
    assert (receipt.accepted_steps, receipt.late_steps) == (0, 1)
    assert host.joules() == {"a": 20.0}
    assert host.unattributed() == {"unknown": 10.0}


def test_a_late_step_that_ends_a_generation_makes_its_figure_final() -> None:
    host = Host("w")
    host.wait(2)
    host.take(report(2, step(0, 1, "a", finished=False)))
    assert host.joules() == {}
    assert host.take(report(2, step(1, 2, "a"))).late_steps == 1
    assert host.joules() == {"a": 10.0}
    assert host.unattributed() == {"late": 10.0}


def test_what_only_a_late_step_explains_is_late() -> None:
    host = Host("w")
    for second in (1, 2):
        host.wait(second)
        host.take(report(second))
    assert host.unattributed() == {"unknown": 20.0}
    assert host.take(report(2, step(0, 1, "b"))).late_steps == 1
    assert host.unattributed() == {"unknown": 10.0, "late": 10.0}
    assert host.joules() == {}


def wire(*spans: tuple[int, int, str]) -> pb.ReportStepsRequest:
    names = sorted({name for _, _, name in spans})
    steps = [
        pb.EngineStep(
            start_nanoseconds=start, end_nanoseconds=end, generations=[names.index(name)],
            prefill_tokens=[0], decode_tokens=[1], context_tokens=[0],
        )
        for start, end, name in spans
    ]  # fmt: skip
    return pb.ReportStepsRequest(
        worker_id="w", model_id="small", monotonic_nanoseconds=100, steps=steps,
        generations=[pb.ReportedGeneration(request_id="r", generation_id=name) for name in names],
        tier=common_pb2.STEP_TIER_TOKEN_TIMES,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "field", "says"),
    [
        ([(5, 9, "a"), (1, 4, "b")], "steps[1].end_nanoseconds", "is 4, out of order: the step before ends"),
        ([(1, 5, "a"), (4, 9, "a")], "steps[1].generations", "has 0, whose last step ends at 5"),
        ([(1, 5, "a"), (1, 5, "a")], "steps[1].generations", "after this one starts at 1"),
        ([(1, 500, "a")], "steps[0].end_nanoseconds", "not after the report at 100"),
    ],
)
def test_steps_out_of_order_overlapping_or_repeated_in_a_report_are_refused(
    spans: list[tuple[int, int, str]], field: str, says: str
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        parse_report(wire(*spans))
    (violation,) = error.value.violations
    assert violation.field == field
    assert says in violation.description


def test_steps_of_different_generations_may_overlap() -> None:
    assert len(parse_report(wire((1, 5, "a"), (3, 6, "b"), (5, 9, "a"))).steps) == 3
