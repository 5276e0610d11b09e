"""Records a stream of verdicts: many on their way to the log at once, in their order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from services.core.errors import InvalidRequestError, NotFoundError, StateUnavailableError
from services.feedback.instruments import SOURCE, Instruments
from services.feedback.ports import LabelLog, PendingLabel
from services.feedback.submit import Feedback, SubmitFeedback

WINDOW_LABELS = 1024
MAX_NAMED_REJECTIONS = 100


@dataclass(slots=True)
class BatchReceipt:
    """What became of a stream: verdicts recorded, refused, and why the first 100 were (index, reason)."""

    accepted: int = 0
    rejected: int = 0
    rejections: list[tuple[int, str]] = field(default_factory=list)

    def reject(self, index: int, reason: str) -> None:
        """One verdict was refused."""
        self.rejected += 1
        if len(self.rejections) < MAX_NAMED_REJECTIONS:
            self.rejections.append((index, reason))


class SubmitFeedbackBatch:
    """Judges each verdict as `submit` does and keeps a bounded window of them on their way."""

    def __init__(self, submit: SubmitFeedback, log: LabelLog, instruments: Instruments) -> None:
        self._submit, self._log, self._instruments = submit, log, instruments

    async def run(self, verdicts: AsyncIterator[Feedback]) -> BatchReceipt:
        """Records all valid verdicts; when this returns, they are in the log.

        Raises:
            StateUnavailableError: the log takes no writes; `recorded` verdicts are in it.
            OverloadedError: too many labels wait; the earlier ones may have been recorded.

        """
        receipt, window = BatchReceipt(), deque[tuple[str, PendingLabel]]()
        index = 0
        try:
            async for verdict in verdicts:
                try:
                    label = await self._submit.judged(verdict)
                    window.append((label.source, self._log.append(label)))
                except (InvalidRequestError, NotFoundError) as error:
                    receipt.reject(index, str(error))
                index += 1
                if len(window) >= WINDOW_LABELS:
                    await self._settle(window, receipt, WINDOW_LABELS // 2)
            await self._settle(window, receipt, 0)
        except StateUnavailableError as error:
            results = await asyncio.gather(*(pending for _, pending in window), return_exceptions=True)
            recorded = receipt.accepted + sum(isinstance(result, str) for result in results)
            raise StateUnavailableError(str(error), recorded) from error
        finally:
            for _, pending in window:
                pending.cancel()
        return receipt

    async def _settle(
        self, window: deque[tuple[str, PendingLabel]], receipt: BatchReceipt, leave: int
    ) -> None:
        while len(window) > leave:
            source, pending = window[0]
            await pending
            window.popleft()
            receipt.accepted += 1
            self._instruments.labels.add(1, {SOURCE: source})
