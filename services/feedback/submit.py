"""Takes verdicts: checks them, turns them into satisfaction and appends them to the log."""

import math
from dataclasses import dataclass

from services.common.labeling_limits import MAX_REFERENCE_BYTES, REFERENCE_METRICS
from services.common.telemetry import current_traceparent, span
from services.core.errors import FieldViolation, InvalidRequestError, NotFoundError
from services.core.events import Label
from services.feedback.instruments import SOURCE, Instruments
from services.feedback.labelers import Labelers
from services.feedback.ports import (
    DecisionCheck,
    LabelLog,
    NotJudgedError,
    ServedGenerations,
    StoredText,
    TextStore,
)

MAX_ID_CHARACTERS = 128
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Reference:
    """The right answer, to be compared with the stored one."""

    text: str
    metric: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """A verdict as it came in: a score, or a reference to score by, or (wrongly) neither."""

    request_id: str
    decision_id: str
    generation_id: str
    verdict: float | Reference | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was recorded, and where in the log."""

    satisfaction: float
    log_position: str


def check(feedback: Feedback) -> None:
    """Raises InvalidRequestError with every wrong field."""
    verdict = feedback.verdict
    # The common case costs three comparisons; reasons are gathered only where something is wrong.
    if (
        0 < len(feedback.request_id) <= MAX_ID_CHARACTERS
        and len(feedback.generation_id) <= MAX_ID_CHARACTERS
        and isinstance(verdict, float)
        and 0.0 <= verdict <= 1.0
    ):
        return
    if violations := [*_id_violations(feedback), *_verdict_violations(verdict)]:
        raise InvalidRequestError(violations)


def _id_violations(feedback: Feedback) -> list[FieldViolation]:
    violations = []
    if not 0 < len(feedback.request_id) <= MAX_ID_CHARACTERS:
        found = f"has {len(feedback.request_id)} characters, allowed: 1 to {MAX_ID_CHARACTERS}"
        violations.append(FieldViolation("request_id", found))
    if len(feedback.generation_id) > MAX_ID_CHARACTERS:
        found = f"has {len(feedback.generation_id)} characters, allowed: 0 to {MAX_ID_CHARACTERS}"
        violations.append(FieldViolation("generation_id", found))
    return violations


def _verdict_violations(verdict: float | Reference | None) -> list[FieldViolation]:
    match verdict:
        case None:
            return [FieldViolation("verdict", "is missing, allowed: satisfied, satisfaction or reference")]
        case Reference(text, metric):
            violations = []
            if not 0 < (size := len(text.encode())) <= MAX_REFERENCE_BYTES:
                found = f"has {size} bytes, allowed: 1 to {MAX_REFERENCE_BYTES}"
                violations.append(FieldViolation("reference.text", found))
            if metric and metric not in REFERENCE_METRICS:
                found = f"is {metric[:40]!r}, allowed: {', '.join(REFERENCE_METRICS)}"
                violations.append(FieldViolation("reference.metric", found))
            return violations
        case _ if math.isfinite(verdict) and 0.0 <= verdict <= 1.0:
            return []
        case _:
            return [FieldViolation("satisfaction", f"is {verdict}, allowed: 0 to 1")]


class SubmitFeedback:
    """Records verdicts of callers who hold the decision id."""

    def __init__(
        self,
        decisions: DecisionCheck,
        log: LabelLog,
        texts: TextStore,
        served: ServedGenerations,
        labelers: Labelers,
        instruments: Instruments,
    ) -> None:
        self._decisions, self._log, self._texts = decisions, log, texts
        self._served, self._labelers, self._instruments = served, labelers, instruments

    async def submit(self, feedback: Feedback) -> Receipt:
        """Records one verdict; when this returns, it is in the log.

        Raises:
            InvalidRequestError: wrong fields.
            NotFoundError: the decision id is not the request's, or a reference finds no stored text.
            StateUnavailableError, OverloadedError: it may not have been recorded; a repeat is harmless.

        """
        label = await self.judged(feedback)
        position = await self._log.append(label)
        self._instruments.labels.add(1, {SOURCE: label.source})
        return Receipt(label.satisfaction, position)

    async def judged(self, feedback: Feedback) -> Label:
        """The label that a verdict amounts to, not yet recorded. Raises as `submit`."""
        check(feedback)
        if not await self._decisions.matches(feedback.request_id, feedback.decision_id):
            raise NotFoundError(
                "decision", feedback.request_id, "decision_id does not belong to this request_id"
            )
        if isinstance(feedback.verdict, Reference):
            return await self._compared(feedback, feedback.verdict)
        assert feedback.verdict is not None  # noqa: S101 - `check` has refused it
        return Label(
            feedback.request_id, feedback.generation_id, feedback.verdict, CLIENT, current_traceparent()
        )

    async def _compared(self, feedback: Feedback, reference: Reference) -> Label:
        text = await self._texts.load(feedback.request_id)
        if text is None:
            raise _no_text(feedback.request_id)
        generation_id = feedback.generation_id or await self._served_id(feedback.request_id, text)
        if generation_id not in text.answers:
            raise _no_text(feedback.request_id)
        labeler = self._labelers.reference(reference.text, reference.metric)
        with span("label", attributes={SOURCE: labeler.source}):
            try:
                satisfaction = await labeler.satisfaction(text.prompt, text.answers[generation_id])
            except NotJudgedError as error:
                raise InvalidRequestError([FieldViolation("reference", str(error))]) from error
            return Label(
                feedback.request_id, generation_id, satisfaction, labeler.source, current_traceparent()
            )

    async def _served_id(self, request_id: str, text: StoredText) -> str:
        return await self._served.served(request_id, text.answers.keys()) or ""


def _no_text(request_id: str) -> NotFoundError:
    hint = (
        "a reference needs the stored answer: set `labeling` on Generate (it may be empty), send the "
        "reference before text_ttl_seconds and labelers are through, or send `satisfied` or `satisfaction`"
    )
    return NotFoundError("text", request_id, hint)
