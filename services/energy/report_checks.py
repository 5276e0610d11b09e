"""Checks a report against what the service knows; every problem at once, as field violations."""

from collections.abc import Collection, Iterator

from services.core.errors import FieldViolation, InvalidRequestError
from services.energy.reports import WorkerReport


def check_known(
    report: WorkerReport, models: Collection[str], meters: Collection[str], boot_id: str, now_nanoseconds: int
) -> None:
    """Refuses what this host cannot account for: models, meters and boots not its own, and the future.

    `boot_id` is this host's, whose monotonic clock `now_nanoseconds` shows; times of other boots are not
    comparable with it. Raises InvalidRequestError.
    """
    violations = [
        *_unknown_names(report, models, meters),
        *_foreign_times(report, bool(meters), boot_id, now_nanoseconds),
    ]
    if violations:
        raise InvalidRequestError(violations)


def check_clock(report: WorkerReport, reported_nanoseconds: int) -> None:
    """A worker's reports do not go back in time. Raises InvalidRequestError."""
    if report.monotonic_nanoseconds < reported_nanoseconds:
        problem = (
            f"is {report.monotonic_nanoseconds}, must not be before the worker's last report at "
            f"{reported_nanoseconds}"
        )
        raise InvalidRequestError([FieldViolation("monotonic_nanoseconds", problem)])


def _unknown_names(
    report: WorkerReport, models: Collection[str], meters: Collection[str]
) -> Iterator[FieldViolation]:
    if report.model_id not in models:
        yield FieldViolation("model_id", f"is {report.model_id!r}, must be one of: {', '.join(models)}")
    for i, device_id in enumerate(report.device_ids):
        if device_id not in meters:
            here = ", ".join(meters) or "none; leave it empty for the worker's process CPU"
            yield FieldViolation(f"device_ids[{i}]", f"is {device_id!r}; the meters here: {here}")


def _foreign_times(
    report: WorkerReport, has_counters: bool, boot_id: str, now_nanoseconds: int
) -> Iterator[FieldViolation]:
    if report.boot_id != boot_id:
        if has_counters:
            problem = f"is {report.boot_id!r}; a shared counter needs this host's clock, of boot {boot_id!r}"
            yield FieldViolation("boot_id", problem)
    elif report.monotonic_nanoseconds > now_nanoseconds:
        problem = f"is {report.monotonic_nanoseconds}, must not be in the future: it is {now_nanoseconds} now"
        yield FieldViolation("monotonic_nanoseconds", problem)
