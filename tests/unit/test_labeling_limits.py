"""Router and feedback service hold labelings to the same limits, those that the protos state."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb

from services.common.labeling_limits import (
    MAX_REFERENCE_BYTES,
    MAX_REGEX_BYTES,
    MAX_SCHEMA_BYTES,
    REFERENCE_METRICS,
)
from services.core.errors import InvalidRequestError
from services.feedback.adapters.reference_labeler import METRICS
from services.feedback.adapters.verifier_labeler import matches_regex, matches_schema
from services.feedback.ports import NotJudgedError
from services.feedback.submit import Feedback, Reference, check
from services.router.validation import Validation
from tests.unit.router_fakes import zoo_of

VALIDATION = Validation(zoo_of(), zoo_of().model_ids)
PROTOS = Path("protos/messplus")


def reference(text: str) -> pb.LabelingOptions:
    return pb.LabelingOptions(reference=common_pb2.ReferenceAnswer(text=text))


def regex(text: str) -> pb.LabelingOptions:
    return pb.LabelingOptions(verifier=pb.Verifier(regex=text))


def schema(text: str) -> pb.LabelingOptions:
    return pb.LabelingOptions(verifier=pb.Verifier(json_schema=text))


def padded(text: str, size_bytes: int) -> str:
    return text + " " * (size_bytes - len(text))


def compare(text: str) -> None:
    check(Feedback("r", "d", "", Reference(text, "")))


@pytest.mark.parametrize(
    ("limit_bytes", "start", "option", "judge"),
    [
        (MAX_REFERENCE_BYTES, "yes", reference, compare),
        (MAX_REGEX_BYTES, "yes", regex, lambda text: matches_regex(text, "yes")),
        (MAX_SCHEMA_BYTES, "{}", schema, lambda text: matches_schema(text, "1")),
    ],
)
def test_both_services_take_the_limit_and_not_a_byte_more(
    limit_bytes: int,
    start: str,
    option: Callable[[str], pb.LabelingOptions],
    judge: Callable[[str], object],
) -> None:
    prompt = common_pb2.Prompt(text="hi")
    largest, larger = padded(start, limit_bytes), padded(start, limit_bytes + 1)
    VALIDATION.generate(pb.GenerateRequest(prompt=prompt, labeling=option(largest)))
    judge(largest)
    with pytest.raises(InvalidRequestError, match=f"1 to {limit_bytes} bytes"):
        VALIDATION.generate(pb.GenerateRequest(prompt=prompt, labeling=option(larger)))
    with pytest.raises((InvalidRequestError, NotJudgedError), match=f"allowed: 1 to {limit_bytes}"):
        judge(larger)


def test_every_metric_that_requests_may_name_has_a_labeler() -> None:
    assert tuple(METRICS) == REFERENCE_METRICS


@pytest.mark.parametrize("limit_bytes", [MAX_REFERENCE_BYTES, MAX_REGEX_BYTES, MAX_SCHEMA_BYTES])
def test_no_service_states_a_limit_of_its_own(limit_bytes: int) -> None:
    number = re.compile(rf"\b(?:{limit_bytes}|{limit_bytes:_})\b")
    places = [Path("services/router"), Path("services/feedback")]
    sources = [file for place in places for file in place.rglob("*.py")]
    assert sources
    found = [str(f) for f in sources if re.search(r"MAX_\w+BYTES.*=.*" + number.pattern, f.read_text())]
    assert found == []


def test_the_protos_tell_clients_these_limits() -> None:
    text = " ".join((PROTOS / "router/v1/router_service.proto").read_text().split())
    assert f"this regular expression; at most {MAX_REGEX_BYTES} bytes" in text
    assert f"this JSON Schema accepts; at most {MAX_SCHEMA_BYTES} bytes" in text
    common = (PROTOS / "common/v1/common.proto").read_text()
    assert f"The right answer, 1 to {MAX_REFERENCE_BYTES} bytes" in common
