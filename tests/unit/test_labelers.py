"""Labelers: what counts as a right answer, for every metric and rule, and under any input."""

import asyncio
import json
import string
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as router_pb

from services.feedback.adapters.openai_judge import parse_grade
from services.feedback.adapters.reference_labeler import (
    METRICS,
    bleu1,
    contains,
    exact,
    last_number,
    normalised,
    numeric,
    rouge1,
)
from services.feedback.adapters.verifier_labeler import matches_regex, matches_schema
from services.feedback.labelers import Labelers
from services.feedback.ports import NotJudgedError

WORDS = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=8), min_size=1, max_size=12)
PERSON = json.dumps({"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}})


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize(
    ("metric", "reference", "answer", "satisfaction"),
    [
        (exact, "Paris", ' "PARIS." ', 1),
        (exact, "new york", "New\n York!", 1),
        (exact, "Paris", "It is Paris", 0),
        (numeric, "1234", "That makes $1,234.00.", 1),
        (numeric, "50%", "half, or 50", 1),
        (numeric, "-3", "The answer is −3", 1),
        (numeric, "4", "3-4", 1),
        (numeric, "0.5", ".5", 1),
        (numeric, "7", "7 apples, no, 8", 0),
        (numeric, "7", "seven", 0),
        (numeric, "12", "Step 1: 3*4 = 12.", 1),
        (contains, "Ottawa", "The capital is Ottawa.", 1),
        (contains, "art", "The start", 0),
        (contains, "c++", "I like C++ most", 1),
        (bleu1, "the cat sat", "the cat sat", 1),
        (bleu1, "the cat sat", "a dog ran", 0),
        (rouge1, "the cat sat", "sat the cat", 1),
    ],
)
def test_metric(metric, reference, answer, satisfaction):
    assert metric(reference, answer) == pytest.approx(satisfaction)


def test_rouge1_is_the_harmonic_mean_of_precision_and_recall():
    assert rouge1("a b c d", "a b") == pytest.approx(2 * 1.0 * 0.5 / 1.5)


def test_bleu1_punishes_brevity_but_not_order():
    assert bleu1("one two three four", "four three two one") == pytest.approx(1.0)
    assert bleu1("one two three four", "one two") == pytest.approx(2.718281828 ** (1 - 4 / 2))


@pytest.mark.parametrize("name", METRICS)
@given(reference=st.text(max_size=60), answer=st.text(max_size=60))
def test_any_text_gets_a_score_or_a_reason(name, reference, answer):
    needs = {"numeric": last_number(reference) is not None, "contains": bool(normalised(reference))}
    if needs.get(name, True):
        assert 0.0 <= METRICS[name](reference, answer) <= 1.0
    else:
        with pytest.raises(NotJudgedError):
            METRICS[name](reference, answer)


@given(WORDS, st.sampled_from(["exact", "contains", "bleu1", "rouge1"]))
def test_a_right_answer_is_right(words, name):
    text = " ".join(words)
    assert METRICS[name](text, text) == pytest.approx(1.0)


@given(st.text(max_size=60))
def test_normalising_again_changes_nothing(text):
    assert normalised(normalised(text)) == normalised(text)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "{:,}", "{:,}.0", "{}%", "it is {}, I think"]))
def test_a_number_is_found_however_it_is_written(number, form):
    assert last_number(form.format(number)) == number


def test_numeric_needs_a_number():
    with pytest.raises(NotJudgedError, match="number"):
        numeric("none", "1")


def test_regex():
    assert matches_regex(r"^\d{3}$", "123") == 1.0
    assert matches_regex(r"^\d{3}$", "1234") == 0.0


@pytest.mark.parametrize("pattern", ["(", "", "a" * 1025])
def test_a_bad_regex_judges_nothing(pattern):
    with pytest.raises(NotJudgedError, match=r"regular expression|regex has"):
        matches_regex(pattern, "a")


def test_a_catastrophic_regex_is_stopped():
    with pytest.raises(NotJudgedError, match="longer than"):
        matches_regex(r"^(a|aa|b?a)+$", "a" * 5000 + "!")


@pytest.mark.parametrize(
    ("answer", "satisfaction"),
    [
        ('{"age": 3}', 1),
        (' {"age": 3}\n', 1),
        ('{"age": "x"}', 0),
        ("{}", 0),
        ("I am 3", 0),
        ('{"age": NaN}', 0),
        ("[" * 100_000, 0),
    ],
)
def test_schema(answer, satisfaction):
    assert matches_schema(PERSON, answer) == satisfaction


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{", "not JSON"),
        ('{"type": "nothing"}', "not a JSON Schema"),
        ('{"$ref": "http://127.0.0.1:9/elsewhere.json"}', "refers to"),
        ('{"patternProperties": {"^(a+)+$": {}}}', "patternProperties"),
        ('{"$ref": "#"}', "cannot be applied"),
        (" " * 16_385, "bytes"),
    ],
)
def test_a_bad_schema_judges_nothing(schema, reason):
    with pytest.raises(NotJudgedError, match=reason):
        matches_schema(schema, "{}")


def test_a_bad_schema_is_told_even_where_the_answer_is_no_json():
    with pytest.raises(NotJudgedError, match="not a JSON Schema"):
        matches_schema('{"type": "nothing"}', "I am 3")


def test_a_schema_that_doubles_at_every_step_is_stopped():
    steps = {f"s{i}": {"allOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2} for i in range(40)}
    schema = {"$defs": {**steps, "s40": {}}, "$ref": "#/$defs/s0"}
    with pytest.raises(NotJudgedError, match="TimeoutError"):
        matches_schema(json.dumps(schema), "{}")


def test_a_catastrophic_pattern_in_a_schema_is_stopped():
    with pytest.raises(NotJudgedError, match="TimeoutError"):
        matches_schema(json.dumps({"pattern": "^(a|aa|b?a)+$"}), json.dumps("a" * 5000 + "!"))


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("7", 0.7),
        (" 10\n", 1.0),
        ("Grade: 8/10", 0.8),
        ("I give it 3 out of 10, since 2 of 5 facts are wrong", 0.3),
        ("7.5", 0.75),
        ("0", 0.0),
        ("11", None),
        ("-1", None),
        ("between 3 and 5", None),
        ("good", None),
        ("", None),
    ],
)
def test_grade(reply, grade):
    assert parse_grade(reply) == grade


@given(st.text(max_size=80))
def test_any_reply_is_a_grade_or_none(reply):
    grade = parse_grade(reply)
    assert grade is None or 0.0 <= grade <= 1.0


OPTIONS = {
    "reference": router_pb.LabelingOptions(reference=common_pb2.ReferenceAnswer(text="4", metric="numeric")),
    "regex": router_pb.LabelingOptions(verifier=router_pb.Verifier(regex="4")),
    "schema": router_pb.LabelingOptions(verifier=router_pb.Verifier(json_schema='{"const": 4}')),
}


@pytest.mark.parametrize("name", OPTIONS)
async def test_options_name_their_labeler(name, executor):
    labeler = Labelers(executor, None).for_options(OPTIONS[name].SerializeToString())
    assert await labeler.satisfaction("2 + 2?", "4") == 1.0
    assert await labeler.satisfaction("2 + 2?", "5") == 0.0


def test_options_without_labeler_leave_it_to_the_client(executor):
    assert Labelers(executor, None).for_options(b"") is None


@pytest.mark.parametrize(
    "labeling",
    [
        b"\xff",
        router_pb.LabelingOptions(judge=router_pb.Judge()).SerializeToString(),
        router_pb.LabelingOptions(verifier=router_pb.Verifier()).SerializeToString(),
        router_pb.LabelingOptions(
            reference=common_pb2.ReferenceAnswer(text="x", metric="vibes")
        ).SerializeToString(),
    ],
)
def test_options_that_cannot_be_served_say_so(labeling, executor):
    with pytest.raises(NotJudgedError):
        Labelers(executor, None).for_options(labeling)


async def test_a_slow_rule_leaves_the_event_loop_free(executor):
    slow = router_pb.LabelingOptions(verifier=router_pb.Verifier(regex="^(a|aa|b?a)+$"))
    labeler = Labelers(executor, None).for_options(slow.SerializeToString())
    judging = asyncio.ensure_future(labeler.satisfaction("", "a" * 5000 + "!"))
    turns = 0
    while not judging.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(NotJudgedError):
        judging.result()
    assert turns > 100
