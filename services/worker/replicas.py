"""The replicas of one model behind one worker: who gets the next request, who is out, who comes back."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.core.errors import EngineError, EngineUnreachableError, ServerBusyError

EJECT_AFTER_FAILURES = 2
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 30.0


@dataclass(slots=True, eq=False)
class Replica:
    """One server.

    Attributes:
        url: where it is.
        outstanding: requests of this worker that it works on now.
        served: requests that it was given so far.
        failures: failures in a row.
        ejected: whether it gets no requests.
        not_before: an ejected one is probed then, a busy one gets requests again then (monotonic s).
        last_error: how it failed last.

    """

    url: str
    outstanding: int = 0
    served: int = 0
    failures: int = 0
    ejected: bool = False
    not_before: float = -math.inf
    last_error: EngineError | None = None


class ReplicaPool:
    """Least outstanding requests first. Does no I/O: its owner says how requests and probes went.

    A replica that fails twice in a row is ejected for half a second, then for twice as long after every
    probe that fails, up to 30 s; a probe that works brings it back.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float]) -> None:
        self._replicas, self._clock = [Replica(url) for url in urls], clock

    @property
    def available(self) -> list[Replica]:
        """Those that are not ejected."""
        return [replica for replica in self._replicas if not replica.ejected]

    def pick(self, tried: Collection[str] = ()) -> Replica | None:
        """The least busy replica that was not tried and has room; None if there is none."""
        now = self._clock()
        free = [r for r in self.available if r.url not in tried and r.not_before <= now]
        return min(free, key=lambda replica: (replica.outstanding, replica.served), default=None)

    @contextmanager
    def using(self, replica: Replica) -> Iterator[None]:
        """Counts a request as outstanding."""
        replica.outstanding += 1
        replica.served += 1
        try:
            yield
        finally:
            replica.outstanding -= 1

    def worked(self, replica: Replica) -> None:
        """A request ended well, or a probe found the replica well: it is back if it was out."""
        replica.failures, replica.ejected, replica.not_before = 0, False, -math.inf

    def failed(self, replica: Replica, error: EngineError, fatal: bool = False) -> None:
        """A request or a probe failed. A busy replica rests, others are ejected: at once if `fatal`."""
        replica.last_error = error
        if isinstance(error, ServerBusyError):
            replica.not_before = self._clock() + error.retry_after_seconds
            return
        replica.failures += 1
        if fatal or replica.ejected or replica.failures >= EJECT_AFTER_FAILURES:
            doublings = max(0, replica.failures - EJECT_AFTER_FAILURES)
            backoff = FIRST_BACKOFF_SECONDS * 2.0 ** min(doublings, 16)
            replica.ejected = True
            replica.not_before = self._clock() + min(backoff, LONGEST_BACKOFF_SECONDS)

    def due(self) -> list[Replica]:
        """Ejected replicas whose time has come to be probed."""
        now = self._clock()
        return [r for r in self._replicas if r.ejected and r.not_before <= now]

    def seconds_until_room(self) -> float | None:
        """Until a busy replica may be asked again; None where all are ejected."""
        waits = [replica.not_before - self._clock() for replica in self.available]
        return max(0.0, min(waits)) if waits else None

    def why_none(self) -> EngineError:
        """Why no replica can be asked now."""
        errors = [r.last_error for r in self._replicas if r.last_error is not None]
        return errors[-1] if errors else EngineUnreachableError(self._replicas[0].url, "not tried yet")
