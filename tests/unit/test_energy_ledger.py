"""A meter's books: windows wait for their steps, and nothing that was measured is ever lost or made up."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.core.attribution import Attribution, UnattributedReason, Window
from services.core.energy_ledger import Balance, EnergyLedger, Reading
from services.core.steps import GenerationWork, Step, StepCoefficients, StepWork

COSTS = StepCoefficients(0.1, 0.0, 0.3, 0.0, 0.0)
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


def step(start: int, end: int, generation_id: str = "a") -> Step:
    return Step(start, end, StepWork.of(GenerationWork(generation_id, 0, 1, 0)), COSTS)


def ledger(idle_watts: float = 0.0, final: frozenset[str] = frozenset(), windows: int = 100) -> EnergyLedger:
    return EnergyLedger(idle_watts, final, windows)


def is_balanced(balance: Balance) -> bool:
    parts = balance.attributed_microjoules + sum(balance.unattributed_microjoules.values())
    return parts == balance.measured_microjoules


def measured(results: list[Attribution]) -> list[Attribution]:
    return [result for result in results if not result.is_estimated]


moves = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 50), st.integers(-100, 10_000)),
    st.tuples(st.just("lose"), st.integers(0, 50), st.just(0)),
    st.tuples(st.just("step"), st.integers(0, 300), st.integers(1, 300)),
    st.tuples(st.just("settle"), st.integers(0, 200), st.just(0)),
)


@given(st.lists(moves, max_size=60), st.floats(0, 1), st.integers(1, 5))
def test_whatever_happens_each_rise_of_the_counter_is_booked_exactly_once(
    history: list[tuple[str, int, int]], idle_watts: float, windows: int
) -> None:
    books = ledger(idle_watts, frozenset({"final"}), windows)
    now = counter = rises = attributed = 0
    last: int | None = None
    last_time = -1
    for i, (kind, time, amount) in enumerate(history):
        if kind in ("read", "lose"):
            now += time
            counter = max(0, counter + amount)
        if kind == "read":
            if now > last_time:
                rises += counter - last if last is not None and counter >= last else 0
                last, last_time = counter, now
            books.read(Reading(now, counter))
        elif kind == "lose":
            if now > last_time:
                last, last_time = None, now
            books.lose(now)
        elif kind == "step":
            books.add_step(step(max(0, now - time), max(0, now - time) + amount, ("a", "final")[i % 2]))
        else:
            for result in measured(books.settle(now - time)):
                attributed += sum(s.total_microjoules for g, s in result.shares.items() if g != "final")
        assert is_balanced(books.balance)
        assert min(books.balance.unattributed_microjoules.values(), default=0) >= 0
    attributed += sum(
        s.total_microjoules
        for result in measured(books.settle(float("inf")))
        for g, s in result.shares.items()
        if g != "final"
    )
    assert books.balance.measured_microjoules == books.read_microjoules == rises
    assert books.balance.attributed_microjoules == attributed
    assert is_balanced(books.balance)


def test_a_window_waits_until_no_further_step_can_begin_in_it() -> None:
    books = ledger()
    for time, joules in ((0, 0), (10, 100), (20, 300)):
        books.read(Reading(time, joules))
    assert books.settle(5) == []
    books.add_step(step(5, 20))
    (both,) = books.settle(20)
    assert (both.generation_ids, both.microjoules.sum(axis=2).tolist()) == (("a",), [[100], [200]])
    assert books.closed_until_nanoseconds == 20


def test_a_late_step_claims_what_no_step_explained_but_is_not_charged() -> None:
    books = ledger()
    books.read(Reading(0, 0))
    books.read(Reading(10, 100))
    books.settle(10)
    assert books.balance.unattributed_microjoules == {UnattributedReason.UNKNOWN: 100}
    assert books.add_step(step(2, 8))
    assert +books.balance.unattributed_microjoules == {UnattributedReason.LATE: 100}
    assert is_balanced(books.balance)
    assert not books.add_step(step(10, 12))


def test_a_published_generation_cannot_gain_any_more() -> None:
    books = ledger(final=frozenset({"a"}))
    books.read(Reading(0, 0))
    books.add_step(step(0, 10))
    books.read(Reading(10, 100))
    books.settle(10)
    assert books.balance.unattributed_microjoules == {UnattributedReason.LATE: 100}


def test_a_counter_that_goes_backwards_leaves_its_window_unknown() -> None:
    books = ledger()
    for time, joules in ((0, 1000), (10, 40), (20, 90)):
        books.read(Reading(time, joules))
        books.add_step(step(time, time + 10))
    reset, only = books.settle(20)
    assert only.windows == (Window(10, 20, 50),)
    assert books.balance.measured_microjoules == 50
    assert reset.is_estimated


def test_a_rise_that_cannot_be_trusted_is_a_gap_and_counting_goes_on_from_there() -> None:
    books = ledger()
    books.read(Reading(0, 0))
    books.read(Reading(10, 900, follows_gap=True))
    books.read(Reading(20, 907))
    gap, counted = books.settle(20)
    assert (gap.is_estimated, gap.windows[0].end_nanoseconds) == (True, 10)
    assert (counted.windows, books.read_microjoules) == ((Window(10, 20, 7),), 7)


def test_steps_without_a_counter_are_charged_what_their_coefficients_say_and_no_balance_has_it() -> None:
    books = ledger(idle_watts=2.0)
    books.read(Reading(0, 0))
    books.lose(4 * SECOND)
    books.add_step(step(SECOND, 3 * SECOND))
    first, second = books.settle(2 * SECOND), books.settle(4 * SECOND)
    shares = [result.shares["a"].total_microjoules for result in (*first, *second)]
    # 0.3 J of a token and the idle power while it ran, half of both in either part.
    assert shares == [2_150_000, 2_150_000]
    assert books.balance == Balance()


def test_a_lost_counter_settles_time_without_energy() -> None:
    books = ledger()
    books.read(Reading(0, 0))
    books.lose(10)
    books.lose(20)
    books.add_step(step(0, 15))
    assert measured(books.settle(15)) == []
    assert books.closed_until_nanoseconds == 15
    books.read(Reading(30, 5))
    books.read(Reading(40, 7))
    assert [result.windows for result in measured(books.settle(40))] == [(Window(30, 40, 2),)]


def test_a_step_that_never_ends_cannot_keep_windows_open_for_ever() -> None:
    books = ledger(windows=2)
    for time in range(4):
        books.read(Reading(time, time * 10))
    assert [result.windows for result in books.settle(0)] == [(Window(0, 1, 10),)]


def joules_by_name(results: list[Attribution]) -> Counter[str]:
    totals = Counter[str]()
    for result in results:
        totals.update({name: share.total_microjoules for name, share in result.shares.items()})
    return totals


def test_a_backlog_is_charged_as_if_it_had_never_waited() -> None:
    backlog, prompt = ledger(idle_watts=1.0), ledger(idle_watts=1.0)
    for books in (backlog, prompt):
        books.read(Reading(0, 0))
    charged = []
    for number in range(1, 51):
        for books in (backlog, prompt):
            books.add_step(step(number * 10 - 7, number * 10 + 4, f"g{number % 7}"))
            books.read(Reading(number * 10, number * number))
        charged += prompt.settle(number * 10)
    waited = backlog.settle(500)
    assert max(len(result.windows) for result in waited) < 50
    assert joules_by_name(waited) == joules_by_name(charged)
    assert backlog.balance == prompt.balance
    assert is_balanced(backlog.balance)
