"""What the log says of an outage: its begin and its end, and nothing in between."""

import logging

from services.core.errors import MessPlusError


class OutageLog:
    """Notes how attempts at something went; only the first failure of each kind is logged, and the end.

    Args:
        log: of the module whose work it is.
        what: what may be away, for example "the energy service".
        consequence: what that means for as long as it lasts.

    """

    def __init__(self, log: logging.Logger, what: str, consequence: str) -> None:
        self._log, self._what, self._consequence = log, what, consequence
        self._failures = 0
        self._kinds: set[type] = set()

    def failed(self, error: Exception | None = None) -> None:
        """An attempt failed, with this error if it is known; one that is not ours brings its stack."""
        self._failures += 1
        if type(error) in self._kinds:
            return
        self._kinds.add(type(error))
        if error is None or isinstance(error, MessPlusError):
            reason = f" ({error})" if error else ""
            self._log.warning("%s is away%s; %s", self._what, reason, self._consequence)
        else:
            self._log.error("%s refuses; %s", self._what, self._consequence, exc_info=error)

    def worked(self) -> None:
        """An attempt worked."""
        if self._failures:
            self._log.warning("%s is back, after %d failures", self._what, self._failures)
            self._failures = 0
            self._kinds.clear()
