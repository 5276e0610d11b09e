"""Step reports: every token once, in order, and no step before a report that was already sent."""

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from services.worker.steps import MAX_REPORT_WORK, SequenceMeter, StepRecorder, StepReport

Action = tuple[str, int, int]


def replay(actions: list[Action]) -> tuple[list[StepReport], Counter[str], set[str]]:
    """Runs a schedule over at most 4 generations at once; returns reports, tokens told and who ended."""
    clock, ids = count(), count()
    recorder = StepRecorder(lambda: next(clock), lambda: 0.0)
    meters: dict[str, SequenceMeter] = {}
    reports, told, ended = [], Counter[str](), set[str]()
    for kind, who, tokens in [*actions, *[("end", 0, 0)] * 4, ("take", 0, 0)]:
        if kind == "begin" and len(meters) < 4:
            name = f"g{next(ids)}"
            meters[name] = recorder.begin("r", name)
        elif kind == "take":
            reports.append(recorder.take(warming_up=False))
        elif meters:
            name = sorted(meters)[who % len(meters)]
            if kind == "work":
                meters[name].worked(0, tokens, 0)
                told[name] += tokens
            if kind == "end":
                meters.pop(name).ended()
                ended.add(name)
    return reports, told, ended


KINDS = ["begin", "work", "work", "end", "take"]
actions = st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 5))


@given(st.lists(actions, max_size=80))
def test_every_token_and_every_end_is_reported_once(schedule: list[Action]) -> None:
    reports, told, ended = replay(schedule)
    work = [w for report in reports for step in report.steps for w in step.work]
    reported = Counter[str]()
    for w in work:
        reported[w.generation_id] += w.decode_tokens
    assert +reported == +told
    assert sorted(w.generation_id for w in work if w.finished) == sorted(ended)


@given(st.lists(actions, max_size=80))
def test_steps_never_overlap_and_never_precede_a_report(schedule: list[Action]) -> None:
    reports, _, _ = replay(schedule)
    sent = -1
    for report in reports:
        for step in report.steps:
            assert sent <= step.start_nanoseconds < step.end_nanoseconds <= report.monotonic_nanoseconds
            assert len({w.generation_id for w in step.work}) == len(step.work) > 0
            sent = step.end_nanoseconds
        assert report.monotonic_nanoseconds >= sent
        sent = report.monotonic_nanoseconds


def test_generations_of_one_batch_share_a_step() -> None:
    clock = count(step=10)
    recorder = StepRecorder(lambda: next(clock), lambda: 0.0)
    first, second = recorder.begin("r", "a"), recorder.begin("r", "b")
    for _ in range(3):
        first.worked(0, 1, 5)
        second.worked(0, 1, 5)
    steps = recorder.take(warming_up=False).steps
    assert [[w.generation_id for w in step.work] for step in steps] == [["a", "b"]] * 3


def test_a_report_during_a_step_ends_where_the_step_began() -> None:
    clock, cpu = count(step=10), count(step=0.5)
    recorder = StepRecorder(lambda: next(clock), lambda: float(next(cpu)))
    meter = recorder.begin("r", "a")
    meter.worked(128, 0, 128)
    first = recorder.take(warming_up=False)
    later = recorder.take(warming_up=False)
    assert (later.steps, later.monotonic_nanoseconds) == ((), first.monotonic_nanoseconds)
    assert later.cpu_seconds == first.steps[0].cpu_seconds == first.cpu_seconds


def test_beyond_the_bound_the_oldest_steps_are_dropped_and_counted() -> None:
    clock = count()
    recorder = StepRecorder(lambda: next(clock), lambda: 0.0, max_pending_steps=3)
    meter = recorder.begin("r", "a")
    for context in range(6):
        meter.worked(0, 1, context)
    assert [s.work[0].context_tokens for s in recorder.take(warming_up=False).steps] == [3, 4, 5]
    assert recorder.dropped_steps == 3


def test_a_report_holds_a_bounded_amount_of_work_and_none_is_lost() -> None:
    clock = count()
    recorder = StepRecorder(lambda: next(clock), lambda: 0.0)
    meters = [recorder.begin("r" * 128, f"g{i}") for i in range(64)]
    for _ in range(100):
        for meter in meters:
            meter.worked(0, 1, 0)
    for meter in meters:
        meter.ended()
    sizes = []
    while recorder.has_steps:
        sizes.append(sum(len(step.work) for step in recorder.take(warming_up=False).steps))
    assert sum(sizes) == 64 * 100
    assert max(sizes) <= MAX_REPORT_WORK
