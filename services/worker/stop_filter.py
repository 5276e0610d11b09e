"""Ends a text before the first stop string, for engines that stop behind it or not at all."""

from collections.abc import Sequence


class StopFilter:
    """Lets text through as far as it cannot be part of a stop string. `hit` tells that one has come."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """Takes more text; returns what may be shown."""
        if self.hit:
            return ""
        self._held += text
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        self.hit = bool(ends)
        return self._release(min(ends) if ends else len(self._held) - self._undecided())

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        return "" if self.hit else self._release(len(self._held))

    def _release(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text

    def _undecided(self) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
