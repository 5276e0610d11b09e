"""`python -m bench.attribution_cost`: CPU time of accounting for one GPU at 50 Hz and 64 running requests.

Each second has 50 polls, 60 steps of all 64 requests, and as many windows as the counter has updates: 50 at
worst, 10 for one with a period of 100 ms. Counted are the polls, the books, attribution, calibration and the
figures; unpacking the reports' bytes is not, nor is the start, in which the lag is found.
"""

import time

from bench.attribution_methods import METER, MODEL, ROUGH_PRIOR, WORKER, RecordedMeter
from services.core.attribution import GenerationWork
from services.core.energy_ledger import Reading
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.recent import RecentEnergy
from services.energy.reports import ReportedStep, ReportedWork, WorkerReport

SECONDS, RUNNING, STEPS_PER_SECOND, POLLS_PER_SECOND = 45, 64, 60, 50
_STARTING_SECONDS = 15
_NANOSECONDS = 1_000_000_000
_MICROJOULES_PER_SECOND = 550_000_000
_TOKENS = 300


def cpu_fraction(windows_per_second: int) -> float:
    """CPU seconds per second, as a fraction of one core."""
    meter = RecordedMeter(
        [
            Reading(i * _NANOSECONDS // windows_per_second, i * _MICROJOULES_PER_SECOND // windows_per_second)
            for i in range(SECONDS * windows_per_second)
        ]
    )
    settings = AccountingSettings(1.0, 100.0, {MODEL: ROUGH_PRIOR}, "boot", 10.0)
    accounting = EnergyAccounting(settings, [meter], RecentEnergy(10_000), lambda _: None, {})
    reports = iter(_reports())
    begin = 0.0
    for poll in range(SECONDS * POLLS_PER_SECOND):
        if poll == _STARTING_SECONDS * POLLS_PER_SECOND:
            begin = time.process_time()
        meter.now = poll * _NANOSECONDS // POLLS_PER_SECOND
        accounting.tick(meter.now)
        if poll % (POLLS_PER_SECOND // 10) == 0:
            accounting.take_report(next(reports), meter.now)
    return (time.process_time() - begin) / (SECONDS - _STARTING_SECONDS)


def _reports() -> list[WorkerReport]:
    """Ten a second, made beforehand."""
    steps_each = STEPS_PER_SECOND // 10
    return [
        WorkerReport(
            WORKER,
            MODEL,
            "boot",
            report * _NANOSECONDS // 10,
            0.0,
            tuple(
                _step(number)
                for number in range((report - 1) * steps_each, report * steps_each)
                if number >= 0
            ),
            "A",
            (METER,),
        )
        for report in range(SECONDS * 10)
    ]


def _step(number: int) -> ReportedStep:
    """Every request generates a token; each in its turn ends after some, and another takes its place."""
    work = []
    for slot in range(RUNNING):
        turn, token = divmod(number + slot * _TOKENS // RUNNING, _TOKENS)
        name = f"{slot}-{turn}"
        done = GenerationWork(name, 400 if token == 0 else 0, 1, 400 + token)
        work.append(ReportedWork(name, done, token == _TOKENS - 1, ""))
    start = number * _NANOSECONDS // STEPS_PER_SECOND
    return ReportedStep(start, (number + 1) * _NANOSECONDS // STEPS_PER_SECOND, tuple(work))


if __name__ == "__main__":
    for windows in (10, 50):
        print(f"{cpu_fraction(windows):.2%} of one core: {windows} windows/s, {RUNNING} running requests")
