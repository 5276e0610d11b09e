"""The zoo's learner: every feedback process tries to be it, and one is."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from services.common.server import cancel, forever
from services.core.errors import FencedOutError, StateUnavailableError
from services.core.fold import Fold
from services.feedback.instruments import Instruments
from services.feedback.learner_term import LearnerSettings, LearnerTerm
from services.feedback.ports import LearnerStore

_POLL_SECONDS = 0.2
_log = logging.getLogger(__name__)


class Learner:
    """Runs for the lease, and in office learns and labels.

    Args:
        store: lease, checkpoint and log.
        make_fold: the fold before any event.
        settings: see there.
        label: follows the log and labels, until cancelled; runs only in office.
        instruments: what is counted.

    """

    def __init__(
        self,
        store: LearnerStore,
        make_fold: Callable[[], Fold],
        settings: LearnerSettings,
        label: Callable[[], Awaitable[None]],
        instruments: Instruments,
    ) -> None:
        self._store, self._make_fold, self._settings = store, make_fold, settings
        self._label, self._instruments = label, instruments
        self._terms = itertools.count(1)
        self._over, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self.is_leader = False

    async def renew(self, make_fold: Callable[[], Fold], settings: LearnerSettings) -> None:
        """Learns for another zoo from now on: a running term ends, and returns once it has."""
        self._make_fold, self._settings = make_fold, settings
        self._over.set()
        await self._idle.wait()

    async def run(self) -> None:
        """One try: waits a little while another learner is in office, else serves a whole term.

        Raises StateUnavailableError when the log cannot be reached.
        """
        # A name of its own for every term: after an outage, a late write of this very process must be as
        # strange to the new term's fence as anybody else's.
        settings = replace(self._settings, owner=f"{self._settings.owner}:{next(self._terms)}")
        fence = await self._store.acquire(settings.owner, settings.lease_seconds)
        if fence is None:
            await asyncio.sleep(_POLL_SECONDS)
            return
        _log.info("took the lease with fencing token %d", fence)
        try:
            await self._serve(fence, settings)
        except FencedOutError as error:
            _log.warning("%s: another learner took over", error)

    async def _serve(self, fence: int, settings: LearnerSettings) -> None:
        term = LearnerTerm(self._store, self._make_fold, fence, settings, self._instruments)
        labeling = forever("labeler", self._label)
        self.is_leader = True
        self._over.clear()
        self._idle.clear()
        try:
            await term.run(self._over)
        finally:
            self.is_leader = False
            self._idle.set()
            await cancel([labeling])
            with suppress(StateUnavailableError):
                # Without it the lease just runs out.
                await self._store.release(settings.owner)
