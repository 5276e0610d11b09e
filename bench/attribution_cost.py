"""`python -m bench.attribution_cost`: CPU time of accounting for one GPU at 50 Hz and 64 running requests.

Each second has 50 polls, ten reports of six steps of all 64 requests, and as many windows as the counter has
updates: 10 for one with a period of 100 ms, 50 at worst. Counted are unpacking and checking the reports, the
polls, the books, attribution, calibration and the figures; not gRPC, nor the start, in which the lag is
found.
"""

import time

from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2 as pb

from bench.attribution_methods import METER, MODEL, ROUGH_PRIOR, WORKER, RecordedMeter
from services.core.energy_ledger import Reading
from services.energy.accounting import AccountingSettings, EnergyAccounting
from services.energy.recent import RecentEnergy
from services.energy.report_parsing import parse_report

SECONDS, RUNNING, STEPS_PER_SECOND, POLLS_PER_SECOND, REPORTS_PER_SECOND = 120, 64, 60, 50, 10
_STARTING_SECONDS = 15
_NANOSECONDS = 1_000_000_000
_MICROJOULES_PER_SECOND = 550_000_000
_PROMPT_TOKENS, _TOKENS = 400, 300


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
    reports = iter([_report(number) for number in range(SECONDS * REPORTS_PER_SECOND)])
    begin = 0.0
    for poll in range(SECONDS * POLLS_PER_SECOND):
        if poll == _STARTING_SECONDS * POLLS_PER_SECOND:
            begin = time.process_time()
        meter.now = poll * _NANOSECONDS // POLLS_PER_SECOND
        accounting.tick(meter.now)
        if poll % (POLLS_PER_SECOND // REPORTS_PER_SECOND) == 0:
            message = pb.ReportStepsRequest.FromString(next(reports))
            accounting.take_report(parse_report(message), meter.now)
    return (time.process_time() - begin) / (SECONDS - _STARTING_SECONDS)


def _report(number: int) -> bytes:
    """Steps of all slots, each with a generation that ends after some tokens and makes room for another."""
    message = pb.ReportStepsRequest(
        worker_id=WORKER,
        model_id=MODEL,
        boot_id="boot",
        monotonic_nanoseconds=number * _NANOSECONDS // REPORTS_PER_SECOND,
        tier=common_pb2.STEP_TIER_ENGINE_STEPS,
        device_ids=[METER],
    )
    each = STEPS_PER_SECOND // REPORTS_PER_SECOND
    places: dict[str, int] = {}
    for step in range(max(0, (number - 1) * each), number * each):
        told = message.steps.add(
            start_nanoseconds=step * _NANOSECONDS // STEPS_PER_SECOND,
            end_nanoseconds=(step + 1) * _NANOSECONDS // STEPS_PER_SECOND,
        )
        for slot in range(RUNNING):
            turn, token = divmod(step + slot * _TOKENS // RUNNING, _TOKENS)
            _tell(message, told, f"{turn * RUNNING + slot:032x}.0", token, places)
    return message.SerializeToString()


def _tell(
    message: pb.ReportStepsRequest, step: pb.EngineStep, name: str, token: int, places: dict[str, int]
) -> None:
    place = places.setdefault(name, len(places))
    if place == len(message.generations):
        message.generations.add(request_id=name[:-2], generation_id=name)
    message.generations[place].finished |= token == _TOKENS - 1
    step.generations.append(place)
    step.prefill_tokens.append(_PROMPT_TOKENS if token == 0 else 0)
    step.decode_tokens.append(1)
    step.context_tokens.append(_PROMPT_TOKENS + token)


if __name__ == "__main__":
    for windows in (10, 50):
        print(f"{cpu_fraction(windows):.2%} of one core: {windows} windows/s, {RUNNING} running requests")
