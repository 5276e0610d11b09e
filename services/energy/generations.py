"""The generations whose energy is not final yet."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.core.attribution import Attribution, EnergyShare
from services.core.events import EnergyAttributed
from services.core.uncertainty import Doubt, Exposure, expose, half_width_joules
from services.energy.metering import MeteredLedger
from services.energy.meters.base import ESTIMATE, MICROJOULES_PER_JOULE, Meter
from services.energy.reports import ReportedGeneration, ReportedStep, WorkerReport


@dataclass(slots=True)
class _Open:
    request_id: str
    model_id: str
    worker_id: str
    tier: str
    traceparent: str
    meters: tuple[MeteredLedger, ...]
    last_end_nanoseconds: int = 0
    finished: bool = False
    prefill_microjoules: int = 0
    decode_microjoules: int = 0
    shared_microjoules: int = 0
    is_charged: bool = False
    is_estimated: bool = False
    is_bounded: bool = True
    """Whether the coefficients were calibrated all the time, so that their residuals say how far to trust."""
    exposures: dict[str, Exposure] = field(default_factory=dict)

    def take(self, share: EnergyShare, is_estimated: bool) -> None:
        """Adds its share of windows."""
        self.prefill_microjoules += share.prefill_microjoules
        self.decode_microjoules += share.decode_microjoules
        self.shared_microjoules += share.shared_microjoules
        self.is_charged = True
        self.is_estimated = self.is_estimated or is_estimated

    def exposure(self, meter_id: str) -> Exposure:
        """What it was exposed to on that meter, to be added to."""
        if (exposure := self.exposures.get(meter_id)) is None:
            exposure = self.exposures[meter_id] = Exposure()
        return exposure

    @property
    def total_microjoules(self) -> int:
        """All that it was charged with so far."""
        return self.prefill_microjoules + self.decode_microjoules + self.shared_microjoules

    def is_known(self) -> bool:
        """Whether anything was measured of it, or estimated to be above 0."""
        return self.is_charged and (self.total_microjoules > 0 or not self.is_estimated)

    def is_closed(self) -> bool:
        """Whether every meter has closed its windows up to the last step so far."""
        return all(
            meter.ledger.closed_until_nanoseconds >= self.last_end_nanoseconds for meter in self.meters
        )


class OpenGenerations:
    """Collects shares until a generation's last step is covered by closed windows.

    `final` holds the ids of generations whose figure was published; they are not opened again.
    """

    def __init__(self, final: AbstractSet[str]) -> None:
        self._final = final
        self._open: dict[str, _Open] = {}
        self._finished: list[str] = []
        """Of these no step is to come, but windows may be."""

    def __len__(self) -> int:
        """Generations that are not final."""
        return len(self._open)

    def see(
        self, report: WorkerReport, steps: Iterable[ReportedStep], meters: Sequence[MeteredLedger]
    ) -> None:
        """Notes who takes part in the steps of a report that are charged, and who ends with it."""
        last_ends = {name: step.end_nanoseconds for step in steps for name in step.work.generation_ids}
        for reported in report.generations:
            generation_id = reported.generation_id
            generation = self._open.get(generation_id)
            if generation is None and generation_id in last_ends and generation_id not in self._final:
                generation = self._begin(report, reported, meters)
            if generation is None:
                continue
            last_end = last_ends.get(generation_id, 0)
            generation.last_end_nanoseconds = max(generation.last_end_nanoseconds, last_end)
            # A step that is not charged can still be a generation's last.
            if reported.finished:
                self._finish(generation_id, generation)

    def charge(self, metered: MeteredLedger, attribution: Attribution) -> None:
        """Adds windows' shares to the open generations; one estimated share makes a figure an estimate."""
        doubts = {name: Doubt.of(model) for name, model in metered.calibration.models.items()}
        exposed: list[tuple[int, Exposure, Doubt]] = []
        for place, (generation_id, share) in enumerate(attribution.shares.items()):
            if (generation := self._open.get(generation_id)) is None:
                continue
            generation.take(share, attribution.is_estimated)
            if (doubt := doubts.get(generation.model_id)) is None:
                generation.is_bounded = False
            else:
                exposed.append((place, generation.exposure(metered.meter.meter_id), doubt))
        if exposed:
            places, exposures, known_doubts = zip(*exposed, strict=True)
            joules = attribution.microjoules[:, places].sum(axis=2) / MICROJOULES_PER_JOULE
            expose(
                exposures, known_doubts, joules, attribution.above_idle_microjoules / MICROJOULES_PER_JOULE
            )

    def abandon(self, worker_id: str) -> None:
        """The worker is gone: what its generations have so far becomes final."""
        for generation_id, generation in self._open.items():
            if generation.worker_id == worker_id:
                self._finish(generation_id, generation)

    def abandon_excess(self, limit: int) -> int:
        """Makes the oldest of more than `limit` open generations final; returns how many."""
        excess = [each for each, _ in zip(self._open.items(), range(len(self._open) - limit), strict=False)]
        return sum(self._finish(generation_id, generation) for generation_id, generation in excess)

    def pop_settled(self) -> list[EnergyAttributed]:
        """Removes the generations that are final and returns their figures.

        One of which nothing was measured or estimated has none: an unknown energy is not 0 J.
        """
        settled: list[str] = []
        waiting: list[str] = []
        for each in self._finished:
            (settled if self._open[each].is_closed() else waiting).append(each)
        self._finished = waiting
        popped = [(each, self._open.pop(each)) for each in settled]
        return [_figure(generation_id, each) for generation_id, each in popped if each.is_known()]

    def _finish(self, generation_id: str, generation: _Open) -> bool:
        """No step of it is to come; returns whether that is news."""
        if generation.finished:
            return False
        generation.finished = True
        self._finished.append(generation_id)
        return True

    def _begin(
        self, report: WorkerReport, reported: ReportedGeneration, meters: Sequence[MeteredLedger]
    ) -> _Open:
        generation = _Open(
            reported.request_id,
            report.model_id,
            report.worker_id,
            report.tier,
            reported.traceparent,
            tuple(meters),
        )
        self._open[reported.generation_id] = generation
        return generation


def _uncertainty_joules(generation: _Open) -> float | None:
    if generation.is_estimated or not generation.is_bounded:
        return None
    return half_width_joules(sum(exposure.variance() for exposure in generation.exposures.values()))


def _figure(generation_id: str, generation: _Open) -> EnergyAttributed:
    meters = [metered.meter for metered in generation.meters]
    methods = {meter.method for meter in meters} | ({ESTIMATE} if generation.is_estimated else set())
    return EnergyAttributed(
        request_id=generation.request_id,
        generation_id=generation_id,
        model_id=generation.model_id,
        energy_joules=generation.total_microjoules / MICROJOULES_PER_JOULE,
        prefill_energy_joules=generation.prefill_microjoules / MICROJOULES_PER_JOULE,
        decode_energy_joules=generation.decode_microjoules / MICROJOULES_PER_JOULE,
        shared_energy_joules=generation.shared_microjoules / MICROJOULES_PER_JOULE,
        uncertainty_joules=_uncertainty_joules(generation),
        quality="ESTIMATED" if generation.is_estimated else _quality(meters),
        method="+".join(sorted(methods)),
        tier=generation.tier,
        traceparent=generation.traceparent,
    )


def _quality(meters: Sequence[Meter]) -> str:
    return "MEASURED" if all(meter.quality == "MEASURED" for meter in meters) else "MODELLED"
