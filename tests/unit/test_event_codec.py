"""Events survive the log: encode then decode gives the same value back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.common.event_codec import decode_entry, encode_event, encode_features, round_features
from services.core.events import (
    Decision,
    EnergyAttributed,
    Event,
    Label,
    ModelGeneration,
    Outcome,
    Position,
    Redecision,
    Role,
)

ids = st.text("abcdefghij0123456789-", min_size=1, max_size=20)
unit = st.floats(0, 1, width=32)
joules = st.floats(0, 1e6, width=32)

decisions = st.builds(
    Decision,
    request_id=ids,
    sla_class=ids,
    step=st.integers(1, 2**40),
    min_satisfaction=st.floats(0.01, 0.99),
    snapshot_version=st.integers(0, 2**40),
    virtual_queue=st.floats(0, 1e6),
    decision_debt=st.floats(-1e6, 1e6),
    dual_joules=st.floats(0, 1e9),
    debt=st.floats(-1e6, 1e6),
    scores=st.just(()) | st.tuples(joules, joules),
    load_factors=st.just(()) | st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
    step_seen=st.integers(1, 2**40),
    seed=st.integers(0, 2**64 - 1),
    features=arrays(np.float64, 5, elements=st.floats(-3, 3)).map(round_features),
    model_ids=st.just(("a", "b")),
    satisfaction_means=st.tuples(unit, unit),
    satisfaction_variances=st.just(()) | st.tuples(unit, unit),
    energy_joules=st.tuples(joules, joules),
    eligible=st.tuples(st.booleans(), st.booleans()),
    model_id=st.sampled_from("ab"),
    generation_id=ids,
    explored=st.booleans(),
    charged_satisfaction=st.floats(0, 1),
    policy=ids,
    explored_generations=st.lists(st.builds(ModelGeneration, ids, ids), max_size=3).map(tuple),
    router_id=ids,
    traceparent=ids,
)
outcomes = st.builds(
    Outcome,
    request_id=ids,
    generation_id=ids,
    model_id=ids,
    role=st.sampled_from(Role),
    prompt_tokens=st.integers(0, 2**31 - 1),
    cached_prompt_tokens=st.integers(0, 2**31 - 1),
    completion_tokens=st.integers(0, 2**31 - 1),
    time_to_first_token_seconds=st.none() | st.floats(0, 1e4),
    latency_seconds=st.floats(0, 1e4),
    finish_reason=st.sampled_from(["stop", "length", "cancelled", "error"]),
    expected_energy_joules=st.floats(0, 1e6),
    wants_label=st.booleans(),
    error=ids | st.just(""),
)
energies = st.builds(
    EnergyAttributed,
    request_id=ids,
    generation_id=ids,
    model_id=ids,
    energy_joules=st.floats(0, 1e6),
    uncertainty_joules=st.none() | st.floats(0, 1e3),
    quality=st.sampled_from(["MEASURED", "MODELLED", "ESTIMATED"]),
    method=ids,
    tier=st.sampled_from("ABCD"),
)
redecisions = st.builds(Redecision, ids, ids, ids, ids, ids, ids, st.floats(0, 1), st.floats(0, 1), ids, ids)
labels = st.builds(Label, ids, ids | st.just(""), st.floats(0, 1), ids)


def logged(event: Event) -> dict[bytes, bytes]:
    kind, data = encode_event(event)
    fields = {b"type": kind.encode(), b"data": data}
    if isinstance(event, Decision):
        fields[b"step"] = str(event.step).encode()
    return fields


@given(decisions)
def test_a_decision_survives_the_log(event: Decision) -> None:
    entry = decode_entry(b"17-3", logged(event))
    assert entry.position == Position(17, 3)
    assert isinstance(entry.event, Decision)
    assert np.array_equal(entry.event.features, event.features)
    fields = [name for name in Decision.__dataclass_fields__ if name != "features"]
    assert [getattr(entry.event, f) for f in fields] == [getattr(event, f) for f in fields]


@given(outcomes | energies | redecisions | labels)
def test_every_other_event_survives_the_log(event: Event) -> None:
    assert decode_entry(b"17-3", logged(event)).event == event


@given(arrays(np.float64, 27, elements=st.floats(-3, 3)))
def test_rounded_features_are_what_the_log_holds(features: np.ndarray) -> None:
    assert encode_features(round_features(features)) == encode_features(features)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"type": b"decision"},
        {b"type": b"rumour", b"data": b""},
        {b"type": b"\xff", b"data": b""},
        {b"type": b"label", b"data": b"\xff\xff\xff"},
        {b"type": b"decision", b"data": b"", b"step": b"x"},
    ],
)
def test_a_damaged_entry_is_named(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r"17-3|invalid literal"):
        decode_entry(b"17-3", fields)
