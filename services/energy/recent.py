"""The figures that were published lately, by request."""

from collections import OrderedDict
from collections.abc import Iterable

from services.core.events import EnergyAttributed


class RecentEnergy:
    """Figures of the last `capacity` requests; asking for a request keeps it longer."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._requests: OrderedDict[str, dict[str, EnergyAttributed]] = OrderedDict()
        self.generation_ids: set[str] = set()
        """Generations whose figure is final."""

    def add(self, events: Iterable[EnergyAttributed]) -> None:
        """Remembers figures; the first one of a generation counts."""
        for event in events:
            self._requests.setdefault(event.request_id, {}).setdefault(event.generation_id, event)
            self._requests.move_to_end(event.request_id)
            self.generation_ids.add(event.generation_id)
        self._evict()

    def refill(self, older: Iterable[EnergyAttributed]) -> None:
        """Puts figures from the log behind those that came since the start."""
        newer = [event for figures in self._requests.values() for event in figures.values()]
        self.add(older)
        for event in newer:
            self._requests.setdefault(event.request_id, {})[event.generation_id] = event
            self._requests.move_to_end(event.request_id)
            self.generation_ids.add(event.generation_id)
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
            self.generation_ids -= forgotten.keys()
