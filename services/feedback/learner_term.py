"""One learner's time in office: it holds the lease, folds the log and writes checkpoints.

A term starts from the checkpoint, and any failure ends it: the next one loads again, so nothing that was
not written survives. State and position are written in one step under the term's fence, so a term that
lost its lease without noticing writes nothing.

Where the checkpoint was learned for other models, what it says of the kept ones is carried over, and written
at once: routers learn of the new ones from it. Where it was learned for another policy or features, or is
damaged, the state is built anew: from the priors, over all of the log that is still there (events that do
not fit go to the dead ones). Until that has caught up with where the log stood, the old checkpoint stays.
The version then starts from 1 again, which tells routers to keep nothing of what they had.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.common.event_codec import decode_entry, encode_event
from services.common.telemetry import span
from services.core.errors import FencedOutError, InvalidSnapshotError
from services.core.events import START, Entry, Position
from services.core.fold import Fold
from services.core.model_change import ModelChange
from services.feedback.instruments import ENTRIES, Instruments
from services.feedback.ports import Checkpoint, DeadRecord, LearnerStore, RawEntry, StoredState

MAX_BATCH_ENTRIES = 512
MAX_DEAD_RECORDS = 10_000
_MIN_CHECKPOINT_SECONDS = 0.05
_MAX_WAIT_SECONDS = 0.5
_MAX_FOLD_SECONDS = 0.002
_HOUSEKEEPING_SECONDS = 1.0
_TRIM_ENTRIES = 1000
_MAX_LINKS = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How a learner works.

    Attributes:
        owner: unique name of this process.
        lease_seconds: how long a dead learner is waited for.
        retention_entries: log entries kept behind the checkpoint.
        configuration: fingerprint of the zoo.

    """

    owner: str
    lease_seconds: float
    retention_entries: int
    configuration: bytes


class LearnerTerm:
    """The learner between taking the lease and losing it."""

    def __init__(
        self,
        store: LearnerStore,
        make_fold: Callable[[], Fold],
        fence: int,
        settings: LearnerSettings,
        instruments: Instruments,
    ) -> None:
        self._store, self._make_fold = store, make_fold
        self._fence, self._settings, self._instruments = fence, settings, instruments
        self._fold = make_fold()
        self._position, self._checked = START, START
        self._version = self._entries = self._dead_events = self._labels_learned = 0
        # Joins that a state built anew must delete, and where the old checkpoint may be replaced.
        self._stale_joins: set[str] = set()
        self._catch_up_to = START
        self._dead: deque[DeadRecord] = deque(maxlen=MAX_DEAD_RECORDS)
        self._renew_at = self._clean_up_at = 0.0

    async def run(self, over: asyncio.Event) -> None:
        """Learns until the term is declared over, or something else ends it.

        Raises:
            FencedOutError: another learner took over.
            StateUnavailableError: the log cannot be reached.

        """
        self._renew_at = self._now() + self._settings.lease_seconds / 3
        await self._load()
        while not over.is_set():
            started = self._now()
            if await self._step() < MAX_BATCH_ENTRIES:
                # Few events at a time would otherwise each cost a checkpoint.
                await asyncio.sleep(max(0.0, _MIN_CHECKPOINT_SECONDS - (self._now() - started)))

    async def _step(self) -> int:
        """Learns from the next batch; returns its size."""
        await self._keep_lease()
        wait_seconds = min(_MAX_WAIT_SECONDS, self._settings.lease_seconds / 6)
        if entries := await self._store.read(self._position, MAX_BATCH_ENTRIES, wait_seconds):
            await self._learn(entries)
        if self._position > self._checked and self._position >= self._catch_up_to:
            await self._checkpoint()
        if self._now() >= self._clean_up_at:
            await self._clean_up()
        return len(entries)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _keep_lease(self) -> None:
        now = self._now()
        if now < self._renew_at:
            return
        self._renew_at = now + self._settings.lease_seconds / 3
        if await self._store.acquire(self._settings.owner, self._settings.lease_seconds) != self._fence:
            raise FencedOutError(self._fence)

    async def _load(self) -> None:
        stored = await self._store.load()
        extent = await self._store.extent()
        self._entries = extent.added - extent.length
        if stored is None:
            _log.info("no checkpoint yet: learning starts from the priors")
        elif stored.configuration != self._settings.configuration:
            self._build_anew(stored, extent.newest, "the zoo's policy or features changed")
        else:
            try:
                change = self._resume(stored)
            except InvalidSnapshotError as error:
                self._build_anew(stored, extent.newest, f"the checkpoint is damaged ({error})")
                return
            if change:
                _log.warning("the zoo's models changed, what was learned is carried over; %s", change)
                await self._checkpoint()

    def _resume(self, stored: StoredState) -> ModelChange:
        """Takes the checkpoint; returns how the models changed since."""
        change = self._fold.restore(stored.parts, stored.joins)
        self._position = self._checked = stored.position
        self._version, self._entries = stored.version, stored.entries
        self._dead_events = stored.dead_events
        self._labels_learned = self._fold.state.counters.labels_learned
        _log.info("learning goes on at %s, version %d", stored.position, stored.version)
        return change

    def _build_anew(self, stored: StoredState, newest: Position, why: str) -> None:
        self._stale_joins, self._catch_up_to = set(stored.joins), newest
        _log.warning(
            "%s: learned state is built anew from the log; %d of its entries are trimmed and stay lost",
            why,
            self._entries,
        )

    async def _learn(self, entries: Sequence[RawEntry]) -> None:
        with span("fold", attributes={ENTRIES: len(entries)}) as current:
            traced: set[str] = set()
            yield_at = self._now() + _MAX_FOLD_SECONDS
            for entry_id, fields in entries:
                self._position = Position.parse(entry_id.decode())
                self._entries += 1
                if (entry := self._decoded(entry_id, fields)) is not None:
                    self._apply(entry)
                    traced.add(entry.event.traceparent)
                if self._now() >= yield_at:
                    # Others on this event loop wait: SubmitFeedback, above all.
                    await asyncio.sleep(0)
                    yield_at = self._now() + _MAX_FOLD_SECONDS
            current.link(sorted(traced - {""})[:_MAX_LINKS])

    def _decoded(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry | None:
        try:
            return decode_entry(entry_id, fields)
        except ValueError as error:
            self._bury(entry_id.decode(), str(error), fields.get(b"data", b""))
            return None

    def _apply(self, entry: Entry) -> None:
        try:
            self._fold.apply(entry)
        except Exception as error:
            # An entry that breaks the fold would break every later learner as well.
            _log.exception("entry %s broke the fold and is put aside", entry.position)
            data = encode_event(entry.event)[1]
            self._bury(str(entry.position), f"the fold failed: {type(error).__name__}", data)

    def _bury(self, position: str, reason: str, data: bytes) -> None:
        self._dead_events += 1
        self._instruments.dead.add(1)
        self._dead.append(DeadRecord(position, reason, data))

    async def _checkpoint(self) -> None:
        checkpoint = self._next_checkpoint()
        started = self._now()
        await self._store.checkpoint(self._fence, checkpoint)
        await self._store.publish(checkpoint.version)
        self._instruments.checkpoint_seconds.record(self._now() - started)
        self._instruments.learned.add(checkpoint.labels_learned - self._labels_learned)
        self._version, self._checked = checkpoint.version, checkpoint.position
        self._labels_learned = checkpoint.labels_learned
        self._stale_joins.clear()
        self._dead.clear()

    def _next_checkpoint(self) -> Checkpoint:
        delta = self._fold.checkpoint_delta()
        for event in delta.dead:
            self._bury(str(event.position), event.reason, encode_event(event.event)[1])
        return Checkpoint(
            position=self._position,
            version=self._version + 1,
            entries=self._entries,
            dead_events=self._dead_events,
            labels_learned=self._fold.state.counters.labels_learned,
            configuration=self._settings.configuration,
            parts=delta.parts_changed,
            joins_set=delta.joins_set,
            joins_deleted=[*delta.joins_deleted, *(self._stale_joins - delta.joins_set.keys())],
            dead=tuple(self._dead),
        )

    async def _clean_up(self) -> None:
        """Trims what retention allows, reports the lag."""
        self._clean_up_at = self._now() + _HOUSEKEEPING_SECONDS
        extent = await self._store.extent()
        lag = extent.added - self._entries
        self._instruments.lag.set(lag)
        surplus = extent.length - lag - self._settings.retention_entries
        if surplus >= _TRIM_ENTRIES:
            trimmed = await self._store.trim(_TRIM_ENTRIES, self._checked)
            if trimmed and surplus >= 2 * _TRIM_ENTRIES:
                # The rest goes in the next steps, so that a large one does not stop learning.
                self._clean_up_at = 0.0
