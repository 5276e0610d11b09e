"""The generations whose energy is not final yet."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from services.core.attribution import EnergyShare, UnattributedReason, WindowAttribution
from services.core.events import EnergyAttributed
from services.core.uncertainty import Doubt, Exposure, half_width_joules
from services.energy.metering import MeteredLedger
from services.energy.meters.base import ESTIMATE, MICROJOULES_PER_JOULE, Meter
from services.energy.reports import ReportedStep, ReportedWork, WorkerReport


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

    def add(self, share: EnergyShare) -> None:
        """Charges it with a part of a window."""
        self.prefill_microjoules += share.prefill_microjoules
        self.decode_microjoules += share.decode_microjoules
        self.shared_microjoules += share.shared_microjoules
        self.is_charged = True

    def is_settled(self) -> bool:
        """Whether every meter has closed its windows up to the last step."""
        return self.finished and all(
            meter.ledger.closed_until_nanoseconds >= self.last_end_nanoseconds for meter in self.meters
        )


class OpenGenerations:
    """Collects shares until a generation's last step is covered by closed windows.

    `final` holds the ids of generations whose figure was published; they are not opened again.
    """

    def __init__(self, final: Container[str]) -> None:
        self._final = final
        self._open: dict[str, _Open] = {}

    def __len__(self) -> int:
        """Generations that are not final."""
        return len(self._open)

    def see(self, report: WorkerReport, step: ReportedStep, meters: Sequence[MeteredLedger]) -> None:
        """Notes who took part in a step."""
        for reported in step.work:
            generation = self._open.get(reported.work.generation_id)
            if generation is None:
                if reported.work.generation_id in self._final:
                    continue
                generation = self._begin(report, reported, meters)
            if step.end_nanoseconds > generation.last_end_nanoseconds:
                generation.last_end_nanoseconds = step.end_nanoseconds
            generation.finished = generation.finished or reported.finished

    def end(self, step: ReportedStep) -> None:
        """A step that is not charged can still be a generation's last."""
        for reported in step.work:
            if reported.finished and (generation := self._open.get(reported.work.generation_id)):
                generation.finished = True

    def charge(self, metered: MeteredLedger, attribution: WindowAttribution) -> None:
        """Adds a window's shares to the open generations; one estimated share makes a figure an estimate."""
        idle = attribution.unattributed.get(UnattributedReason.IDLE, 0)
        joules = (attribution.window.energy_microjoules - idle) / MICROJOULES_PER_JOULE
        doubts = {name: Doubt.of(model) for name, model in metered.calibration.models.items()}
        meter_id = metered.meter.meter_id
        for generation_id, share in attribution.shares.items():
            if generation := self._open.get(generation_id):
                generation.is_estimated = generation.is_estimated or attribution.is_estimated
                generation.add(share)
                if (doubt := doubts.get(generation.model_id)) is None:
                    generation.is_bounded = False
                    continue
                if (exposure := generation.exposures.get(meter_id)) is None:
                    exposure = generation.exposures[meter_id] = Exposure()
                exposure.add(share.total_microjoules / MICROJOULES_PER_JOULE, joules, doubt)

    def abandon(self, worker_id: str) -> None:
        """The worker is gone: what its generations have so far becomes final."""
        for generation in self._open.values():
            generation.finished = generation.finished or generation.worker_id == worker_id

    def abandon_excess(self, limit: int) -> int:
        """Makes the oldest of more than `limit` open generations final; returns how many."""
        excess = [g for g, _ in zip(self._open.values(), range(len(self._open) - limit), strict=False)]
        newly = [generation for generation in excess if not generation.finished]
        for generation in newly:
            generation.finished = True
        return len(newly)

    def pop_settled(self) -> Iterator[EnergyAttributed]:
        """Removes the generations that are final and yields their figures.

        One of which nothing was measured or estimated yields none: an unknown energy is not 0 J.
        """
        for generation_id in [key for key, generation in self._open.items() if generation.is_settled()]:
            generation = self._open.pop(generation_id)
            share = EnergyShare(
                generation.prefill_microjoules, generation.decode_microjoules, generation.shared_microjoules
            )
            if generation.is_charged and (share.total_microjoules > 0 or not generation.is_estimated):
                yield _figure(generation_id, generation, share)

    def _begin(self, report: WorkerReport, reported: ReportedWork, meters: Sequence[MeteredLedger]) -> _Open:
        generation = _Open(
            reported.request_id,
            report.model_id,
            report.worker_id,
            report.tier,
            reported.traceparent,
            tuple(meters),
        )
        self._open[reported.work.generation_id] = generation
        return generation


def _uncertainty_joules(generation: _Open) -> float | None:
    if generation.is_estimated or not generation.is_bounded:
        return None
    return half_width_joules(sum(exposure.variance() for exposure in generation.exposures.values()))


def _figure(generation_id: str, generation: _Open, share: EnergyShare) -> EnergyAttributed:
    meters = [metered.meter for metered in generation.meters]
    methods = {meter.method for meter in meters} | ({ESTIMATE} if generation.is_estimated else set())
    return EnergyAttributed(
        request_id=generation.request_id,
        generation_id=generation_id,
        model_id=generation.model_id,
        energy_joules=share.total_microjoules / MICROJOULES_PER_JOULE,
        prefill_energy_joules=share.prefill_microjoules / MICROJOULES_PER_JOULE,
        decode_energy_joules=share.decode_microjoules / MICROJOULES_PER_JOULE,
        shared_energy_joules=share.shared_microjoules / MICROJOULES_PER_JOULE,
        uncertainty_joules=_uncertainty_joules(generation),
        quality="ESTIMATED" if generation.is_estimated else _quality(meters),
        method="+".join(sorted(methods)),
        tier=generation.tier,
        traceparent=generation.traceparent,
    )


def _quality(meters: Sequence[Meter]) -> str:
    return "MEASURED" if all(meter.quality == "MEASURED" for meter in meters) else "MODELLED"
