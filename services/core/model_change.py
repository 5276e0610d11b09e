"""How one list of models becomes another, by id: which stay, and where each of them stood."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.core.events import FloatArray

ItemT = TypeVar("ItemT")
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class ModelChange:
    """A change of a zoo's models.

    Attributes:
        old_ids: models before, in the zoo's order, each once.
        new_ids: models after it.

    """

    old_ids: tuple[str, ...]
    new_ids: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything changes, be it the order."""
        return self.old_ids != self.new_ids

    @cached_property
    def added(self) -> Places:
        """Places of the new models in the new list."""
        return self._places([m not in self.old_ids for m in self.new_ids])

    @cached_property
    def kept(self) -> Places:
        """Places of the kept models in the new list."""
        return self._places([m in self.old_ids for m in self.new_ids])

    @cached_property
    def kept_before(self) -> Places:
        """Places of the same models, in the same order, in the old list."""
        return np.array([self.old_ids.index(self.new_ids[place]) for place in self.kept], dtype=np.intp)

    def items(self, old: Sequence[ItemT], initial: Sequence[ItemT]) -> list[ItemT]:
        """One per model of the new list: the kept ones from `old`, the new ones from `initial`."""
        result = list(initial)
        for place, before in zip(self.kept, self.kept_before, strict=True):
            result[place] = old[before]
        return result

    def rows(self, old: FloatArray, initial: FloatArray) -> FloatArray:
        """The same for arrays with a row per model, shape (M, ...)."""
        result = initial.copy()
        result[self.kept] = old[self.kept_before]
        return result

    @staticmethod
    def _places(chosen: Sequence[bool]) -> Places:
        return np.flatnonzero(chosen)

    def __str__(self) -> str:
        gone = [m for m in self.old_ids if m not in self.new_ids]
        added = [self.new_ids[place] for place in self.added]
        return f"added: {', '.join(added) or 'none'}; removed: {', '.join(gone) or 'none'}"
