"""Attribution adds up to the microjoule, treats equals equally and charges a lone request everything."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.attribution import Attribution, EnergyShare, UnattributedReason, Window, attribute
from services.core.steps import GenerationWork, Step, StepCoefficients, StepWork

COSTS = StepCoefficients(
    prefill_joules=0.02,
    prefill_context_joules=1e-6,
    decode_joules=0.05,
    context_joules=1e-5,
    step_joules=0.1,
)
FREE = StepCoefficients(0.0, 0.0, 0.0, 0.0, 0.0)
SECOND = 1_000_000_000

coefficients = st.builds(StepCoefficients, *[st.floats(0, 10, allow_subnormal=True)] * 5)
works = st.builds(
    GenerationWork,
    generation_id=st.sampled_from(["a", "b", "c", "d"]),
    prefill_tokens=st.integers(0, 5000),
    decode_tokens=st.integers(0, 50),
    context_tokens=st.integers(0, 30_000),
)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    start = draw(st.integers(0, 3 * SECOND))
    return Step(
        start,
        start + draw(st.integers(1, 4 * SECOND)),
        StepWork.of(*draw(st.lists(works, max_size=4, unique_by=lambda work: work.generation_id))),
        draw(st.one_of(coefficients, st.just(FREE))),
    )


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(st.integers(0, 3 * SECOND))
    return Window(start, start + draw(st.integers(1, 3 * SECOND)), draw(st.integers(0, 10**12)))


schedules = st.lists(steps(), max_size=8)
idle_powers = st.one_of(st.just(0.0), st.floats(0, 700))


def total(attribution: Attribution) -> int:
    attributed = sum(share.total_microjoules for share in attribution.shares.values())
    return attributed + sum(attribution.unattributed.values())


@given(windows(), schedules, idle_powers)
def test_attributed_plus_unattributed_is_what_was_measured(
    window: Window, schedule: list[Step], idle_watts: float
) -> None:
    attribution = attribute([window], schedule, idle_watts)
    assert total(attribution) == window.energy_microjoules
    for share in attribution.shares.values():
        assert min(share.prefill_microjoules, share.decode_microjoules, share.shared_microjoules) >= 0
    assert all(part > 0 for part in attribution.unattributed.values())


@given(windows(), schedules, idle_powers, st.randoms())
def test_the_order_of_the_steps_does_not_matter(
    window: Window, schedule: list[Step], idle_watts: float, random: object
) -> None:
    shuffled = list(schedule)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = (attribute([window], each, idle_watts) for each in (schedule, shuffled))
    assert (after.shares, after.unattributed) == (before.shares, before.unattributed)


@given(windows(), schedules, idle_powers, st.permutations(["a", "b", "c", "d"]))
def test_generations_are_charged_for_their_work_not_for_their_names(
    window: Window, schedule: list[Step], idle_watts: float, names: list[str]
) -> None:
    renamed = dict(zip("abcd", names, strict=True))
    before = attribute([window], schedule, idle_watts)
    after = attribute([window], [_rename(step, renamed) for step in schedule], idle_watts)
    for name, share in before.shares.items():
        # One microjoule of rounding goes by name where remainders tie.
        assert abs(after.shares[renamed[name]].total_microjoules - share.total_microjoules) <= 1


@given(windows(), st.lists(steps(), min_size=1, max_size=5), idle_powers)
def test_a_lone_generation_causes_everything_but_the_idle(
    window: Window, schedule: list[Step], idle_watts: float
) -> None:
    lone = [
        Step(
            s.start_nanoseconds, s.end_nanoseconds, StepWork.of(GenerationWork("a", 3, 1, 3)), s.coefficients
        )
        for s in schedule
    ]
    attribution = attribute([window], lone, idle_watts)
    idle = attribution.unattributed.get(UnattributedReason.IDLE, 0)
    if attribution.shares:
        assert attribution.shares["a"].total_microjoules == window.energy_microjoules - idle
    else:
        assert not any(s.start_nanoseconds < window.end_nanoseconds for s in lone if _reaches(s, window))


def test_weights_follow_the_affine_model_by_hand() -> None:
    both = Step(
        0, SECOND, StepWork.of(GenerationWork("a", 100, 0, 100), GenerationWork("b", 0, 4, 200)), COSTS
    )
    # f = 10 W x 1 s + 0.1 J = 10.1 J, half each; a: 100 (0.02 + 1e-6 x 100) + 1e-5 x 100 = 2.011 J;
    # b: 4 x 0.05 + 1e-5 x 200 = 0.202 J. All weights: 12.313 J.
    attribution = attribute([Window(0, SECOND, 12_313_000)], [both], idle_watts=10.0)
    assert attribution.shares == {
        "a": EnergyShare(prefill_microjoules=2_011_000, shared_microjoules=5_050_000),
        "b": EnergyShare(decode_microjoules=202_000, shared_microjoules=5_050_000),
    }
    assert attribution.unattributed == {}


def test_only_the_part_of_a_step_inside_the_window_counts() -> None:
    long = Step(0, 4 * SECOND, StepWork.of(GenerationWork("long", 0, 40, 0)), COSTS)
    short = Step(3 * SECOND, 4 * SECOND, StepWork.of(GenerationWork("short", 0, 10, 0)), COSTS)
    attribution = attribute([Window(3 * SECOND, 5 * SECOND, 625_000)], [long, short], idle_watts=0.0)
    # long: (40 x 0.05 + 0.1) / 4 = 0.525 J; short: 10 x 0.05 + 0.1 = 0.6 J
    assert _totals(attribution.shares) == {"long": 291_667, "short": 333_333}


def test_idle_power_counts_only_while_no_step_runs() -> None:
    step = Step(SECOND, 2 * SECOND, StepWork.of(GenerationWork("a", 0, 1, 0)), COSTS)
    overlapping = Step(SECOND + SECOND // 2, 3 * SECOND, StepWork.of(GenerationWork("a", 0, 1, 0)), COSTS)
    attribution = attribute([Window(0, 4 * SECOND, 100_000_000)], [step, overlapping], idle_watts=5.0)
    assert attribution.unattributed == {UnattributedReason.IDLE: 10_000_000}
    assert _totals(attribution.shares) == {"a": 90_000_000}


@pytest.mark.parametrize(
    ("energy", "unattributed"),
    [
        (3_000_000, {UnattributedReason.IDLE: 3_000_000}),
        (9_000_000, {UnattributedReason.IDLE: 5_000_000, UnattributedReason.UNKNOWN: 4_000_000}),
        (0, {}),
    ],
)
def test_a_window_without_steps_is_idle_up_to_the_idle_power(
    energy: int, unattributed: dict[UnattributedReason, int]
) -> None:
    attribution = attribute([Window(0, SECOND, energy)], [], idle_watts=5.0)
    assert (attribution.shares, attribution.unattributed) == ({}, unattributed)


def test_a_step_that_served_nobody_is_overhead() -> None:
    nobody = Step(0, SECOND, StepWork.of(), COSTS)
    attribution = attribute([Window(0, SECOND, 7)], [nobody], idle_watts=5.0)
    assert attribution.unattributed == {UnattributedReason.OVERHEAD: 7}


def test_without_weights_time_is_shared_equally() -> None:
    both = Step(0, SECOND, StepWork.of(GenerationWork("a", 1, 0, 0), GenerationWork("b", 9, 0, 0)), FREE)
    alone = Step(SECOND, 2 * SECOND, StepWork.of(GenerationWork("b", 1, 0, 0)), FREE)
    attribution = attribute([Window(0, 2 * SECOND, 400)], [both, alone], idle_watts=0.0)
    assert attribution.shares == {
        "a": EnergyShare(shared_microjoules=100),
        "b": EnergyShare(shared_microjoules=300),
    }


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_senseless_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        StepCoefficients(0.0, 0.0, bad, 0.0, 0.0)
    with pytest.raises(ValueError, match="idle_watts"):
        attribute([Window(0, 1, 1)], [], bad)
    with pytest.raises(ValueError, match="must be after"):
        Step(5, 5, StepWork.of(), COSTS)
    with pytest.raises(ValueError, match="energy_microjoules"):
        Window(0, 1, -1)


def _totals(shares: Mapping[str, EnergyShare]) -> dict[str, int]:
    return {generation_id: share.total_microjoules for generation_id, share in shares.items()}


def _reaches(step: Step, window: Window) -> bool:
    return step.end_nanoseconds > window.start_nanoseconds


def _rename(step: Step, names: dict[str, str]) -> Step:
    work = [
        GenerationWork(names[w.generation_id], w.prefill_tokens, w.decode_tokens, w.context_tokens)
        for w in step.work
    ]
    return Step(step.start_nanoseconds, step.end_nanoseconds, StepWork.of(*work), step.coefficients)
