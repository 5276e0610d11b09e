"""The figures that were published lately, by request."""

from collections import OrderedDict
from collections.abc import Iterable

from services.core.events import EnergyAttributed


class RecentEnergy:
    """Figures of the last `capacity` requests; asking for a request keeps it longer.

    `generation_id in recent` tells whether a generation's figure is final.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._requests: OrderedDict[str, dict[str, EnergyAttributed]] = OrderedDict()
        self._generation_ids: set[str] = set()

    def __contains__(self, generation_id: object) -> bool:
        """Whether this generation's figure was published."""
        return generation_id in self._generation_ids

    def add(self, events: Iterable[EnergyAttributed]) -> None:
        """Remembers figures; the first one of a generation counts."""
        for event in events:
            self._requests.setdefault(event.request_id, {}).setdefault(event.generation_id, event)
            self._requests.move_to_end(event.request_id)
            self._generation_ids.add(event.generation_id)
        self._evict()

    def refill(self, older: Iterable[EnergyAttributed]) -> None:
        """Puts figures from the log behind those that came since the start."""
        newer = [event for figures in self._requests.values() for event in figures.values()]
        self.add(older)
        for event in newer:
            self._requests.setdefault(event.request_id, {})[event.generation_id] = event
            self._requests.move_to_end(event.request_id)
            self._generation_ids.add(event.generation_id)
        self._evict()

    def of_request(self, request_id: str) -> list[EnergyAttributed]:
        """One figure per generation of a request; empty if it is not known."""
        if request_id not in self._requests:
            return []
        self._requests.move_to_end(request_id)
        return list(self._requests[request_id].values())

    def _evict(self) -> None:
        while len(self._requests) > self._capacity:
            _, forgotten = self._requests.popitem(last=False)
            self._generation_ids -= forgotten.keys()
