"""Gives the labels that requests asked for: follows the log's outcomes and judges their stored texts.

Labels are given at least once: the position moves only behind outcomes that are done, and after a crash
the rest comes again. The fold counts the first label of a generation alone, so that means counted once.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from services.common.event_codec import decode_entry
from services.common.telemetry import current_traceparent, span
from services.core.errors import OverloadedError, StateUnavailableError
from services.core.events import Label, Outcome, Position
from services.feedback.instruments import SOURCE, Instruments
from services.feedback.labelers import Labelers
from services.feedback.ports import (
    Labeler,
    LabelerProgress,
    LabelLog,
    LogReader,
    NotJudgedError,
    RawEntry,
    StoredText,
    TextStore,
)

MAX_IN_FLIGHT = 32
"""Judgements at once: each may hold a connection to Redis, and the learner and the RPCs need some too."""
_BATCH_ENTRIES = 256
_WAIT_SECONDS = 0.5
_PAUSE_SECONDS = 0.03
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """An outcome that is being judged, and the position before it."""

    before: Position
    task: "asyncio.Task[None]"


class Labeling:
    """Judges the answers that want it."""

    def __init__(
        self,
        reader: LogReader,
        progress: LabelerProgress,
        texts: TextStore,
        labelers: Labelers,
        log: LabelLog,
        instruments: Instruments,
    ) -> None:
        self._reader, self._progress, self._texts = reader, progress, texts
        self._labelers, self._log, self._instruments = labelers, log, instruments

    async def follow(self) -> None:
        """Labels until cancelled. Raises StateUnavailableError; start anew then."""
        position = stored = await self._progress.load()
        judging: deque[_Judgement] = deque()
        try:
            while True:
                entries = await self._reader.read(position, _BATCH_ENTRIES, _WAIT_SECONDS)
                for entry in entries:
                    if (outcome := _wanted(entry)) is not None:
                        await self._start(outcome, position, judging)
                    position = Position.parse(entry[0].decode())
                while judging and judging[0].task.done():
                    await judging.popleft().task
                done = judging[0].before if judging else position
                if done > stored:
                    await self._progress.store(done)
                    stored = done
                if len(entries) < _BATCH_ENTRIES:
                    # Events that come one by one would otherwise each cost two round trips.
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            for judgement in judging:
                judgement.task.cancel()
            await asyncio.gather(*(j.task for j in judging), return_exceptions=True)

    async def _start(self, outcome: Outcome, before: Position, judging: deque[_Judgement]) -> None:
        if len(judging) >= MAX_IN_FLIGHT:
            await judging[0].task
            judging.popleft()
        task = asyncio.create_task(self._judge(outcome), name="judge")
        judging.append(_Judgement(before, task))

    async def _judge(self, outcome: Outcome) -> None:
        text = await self._texts.load(outcome.request_id)
        if text is None or outcome.generation_id not in text.answers:
            self._instruments.missing_texts.add(1)
            _log.warning("no text is kept of generation %s, so it gets no label", outcome.generation_id)
            return
        try:
            labeler = self._labelers.for_options(text.labeling)
            if labeler is None:
                # The client brings its own reference: the text waits for it.
                return
            await self._label(outcome, text, labeler)
        except NotJudgedError as error:
            self._not_judged(outcome, str(error))
        except (StateUnavailableError, OverloadedError):
            raise
        except Exception as error:
            _log.exception("a labeler failed")
            self._not_judged(outcome, type(error).__name__)
        await self._texts.forget(outcome.request_id, outcome.generation_id)

    async def _label(self, outcome: Outcome, text: StoredText, labeler: Labeler) -> None:
        with span("label", attributes={SOURCE: labeler.source}, traceparent=outcome.traceparent):
            satisfaction = await labeler.satisfaction(text.prompt, text.answers[outcome.generation_id])
            await self._log.append(
                Label(
                    outcome.request_id,
                    outcome.generation_id,
                    satisfaction,
                    labeler.source,
                    current_traceparent(),
                )
            )
        self._instruments.labels.add(1, {SOURCE: labeler.source})

    def _not_judged(self, outcome: Outcome, reason: str) -> None:
        self._instruments.not_judged.add(1)
        _log.warning("generation %s gets no label: %s", outcome.generation_id, reason)


def _wanted(entry: RawEntry) -> Outcome | None:
    """The outcome in an entry, if a label is wanted for it."""
    entry_id, fields = entry
    if fields.get(b"type") != b"outcome":
        return None
    try:
        event = decode_entry(entry_id, fields).event
    except ValueError:
        # The learner puts damaged entries aside and counts them.
        return None
    return event if isinstance(event, Outcome) and event.wants_label else None
