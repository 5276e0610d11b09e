"""The newest valid learned state that this router holds."""

import logging
from typing import Any

from services.core.errors import InvalidSnapshotError
from services.core.learner_codec import CONTROL, heads_revision
from services.core.policies.base import ModelPrior, Policy
from services.core.snapshot import Snapshot, carried_snapshot, decode_snapshot, prior_snapshot
from services.router.class_states import ClassStates
from services.router.instruments import Instruments
from services.router.ports import EventLog, SnapshotSource

_log = logging.getLogger(__name__)


class Snapshots:
    """Holds the last good snapshot; a damaged one is refused, counted and logged once per version.

    Before the first good one, `current` is None, unless the operator gave a prior for every model or the
    store says that no learner has written yet: then it is the policy's initial state, as version 0. Where the
    zoo changed, it is what was known `before`, carried over.
    """

    def __init__(
        self,
        policy: Policy[Any],
        priors: tuple[ModelPrior, ...],
        feature_count: int,
        prior_observations: float,
        instruments: Instruments,
        before: Snapshot | None = None,
    ) -> None:
        self._policy, self._priors, self._feature_count = policy, priors, feature_count
        self._prior_observations, self._instruments = prior_observations, instruments
        self._initial = prior_snapshot(policy, priors, feature_count, prior_observations)
        self._refused: int | None = None
        complete = all(p.satisfaction is not None and p.energy_joules is not None for p in priors)
        self.current: Snapshot | None = self._initial if complete else None
        if before is not None:
            self.current = carried_snapshot(policy, before, priors, feature_count, prior_observations)

    async def refresh(self, source: SnapshotSource) -> None:
        """Takes the newest version, if it is another one and valid. Raises StateUnavailableError."""
        try:
            version = await source.version()
            if version is None:
                self.current = self._initial
            elif self.current is None or version not in (self.current.version, self._refused):
                await self._take(version, source)
        except InvalidSnapshotError as error:
            self._refuse(-1, error)

    async def _take(self, version: int, source: SnapshotSource) -> None:
        try:
            version, control = await source.control()
            parts = {CONTROL: control}
            if not self._has_heads(version, control):
                version, parts = await source.parts()
            self._accept(self._decode(version, parts))
        except InvalidSnapshotError as error:
            self._refuse(version, error)

    def _has_heads(self, version: int, control: bytes) -> bool:
        """Whether the big part that belongs to this small one is here already."""
        current = self.current
        same_log = current is not None and 0 < current.version <= version
        return same_log and current is not None and heads_revision(control) == current.heads_revision

    def _decode(self, version: int, parts: dict[str, bytes]) -> Snapshot:
        return decode_snapshot(
            version,
            parts,
            self._policy,
            self._priors,
            self._feature_count,
            self.current,
            self._prior_observations,
        )

    def _accept(self, snapshot: Snapshot) -> None:
        self.current, self._refused = snapshot, None
        self._instruments.snapshot_checked(valid=True)

    def _refuse(self, version: int, error: InvalidSnapshotError) -> None:
        self._refused = version
        self._instruments.snapshot_checked(valid=False)
        kept = self.current.version if self.current else "none"
        _log.error("snapshot %d is refused, version %s stays in use: %s", version, kept, error)


async def follow_snapshots(
    snapshots: Snapshots,
    source: SnapshotSource,
    log: EventLog,
    classes: ClassStates,
    names: tuple[str, ...],
    interval_seconds: float,
) -> None:
    """Refreshes snapshot and class states once, then waits for a notice or the interval."""
    await snapshots.refresh(source)
    for name in names:
        classes.seen(name, await log.class_state(name))
    await source.wait_for_notice(interval_seconds)
