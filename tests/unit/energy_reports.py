"""Step reports as tests tell them: generation by generation."""

from dataclasses import dataclass

from services.core.steps import GenerationWork, StepWork
from services.energy.reports import ReportedGeneration, ReportedStep, WorkerReport

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Told:
    """A step and whose it is."""

    step: ReportedStep
    generations: tuple[ReportedGeneration, ...]


def of(work: GenerationWork, request_id: str, finished: bool) -> tuple[GenerationWork, ReportedGeneration]:
    """What a step did for a generation, and whether it was the last."""
    return work, ReportedGeneration(request_id, work.generation_id, "", finished)


def told(start: int, end: int, *works: tuple[GenerationWork, ReportedGeneration]) -> Told:
    """A step between two seconds."""
    step = ReportedStep(start * SECOND, end * SECOND, StepWork.of(*(work for work, _ in works)))
    return Told(step, tuple(generation for _, generation in works))


def worker_report(
    worker_id: str, at: int, cpu_seconds: float, steps: tuple[Told, ...], warming_up: bool = False
) -> WorkerReport:
    """What a worker of the model `small` tells at a second."""
    generations = {each.generation_id: each for step in steps for each in step.generations}
    return WorkerReport(
        worker_id, "small", "boot", at * SECOND, cpu_seconds, tuple(generations.values()),
        tuple(each.step for each in steps), "B", warming_up=warming_up,
    )  # fmt: skip
