from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.core.virtual_queue import QueueChange, updated_queue

# Multiples of 1/64 add without rounding, so that composed and single updates must agree exactly.
exact = st.integers(-640, 640).map(lambda n: n / 64)
queues = st.integers(0, 640).map(lambda n: n / 64)


def test_one_update():
    assert updated_queue(0.5, 0.75, 1.0) == 0.25
    assert updated_queue(0.125, 0.75, 1.0) == 0.0


def test_order_matters_where_a_sum_would_forget_it():
    changes = [QueueChange.of(c) for c in (1.0, -3.0, 2.0)]
    assert reduce(QueueChange.then, changes).applied_to(0.0) == 2.0


@given(queues, st.lists(exact))
def test_a_batch_equals_its_updates_one_by_one(queue, changes):
    batch = reduce(QueueChange.then, map(QueueChange.of, changes), QueueChange())
    assert batch.applied_to(queue) == reduce(lambda q, change: max(0.0, q + change), changes, queue)


@given(st.lists(exact, min_size=3, max_size=3))
def test_batches_may_be_composed_in_any_grouping(changes):
    a, b, c = map(QueueChange.of, changes)
    assert a.then(b).then(c) == a.then(b.then(c))
