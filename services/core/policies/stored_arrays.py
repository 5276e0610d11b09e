"""Named arrays as checkpoints hold them: what every policy checks before it takes them for its state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.core.errors import InvalidSnapshotError

Arrays = Mapping[str, npt.NDArray[Any]]


def class_count(arrays: Arrays) -> int:
    """How many SLA classes these arrays name. Raises InvalidSnapshotError."""
    names = arrays.get("class_names")
    if names is None or names.ndim != 1 or names.dtype.kind != "U":
        raise InvalidSnapshotError("arrays: class_names must be a list of names")
    return len(names)


def checked(
    arrays: Arrays, shapes: Mapping[str, Sequence[int]], also: set[str]
) -> dict[str, npt.NDArray[Any]]:
    """Own copies of the float64 arrays of these shapes, all finite; `also` names further ones.

    Raises InvalidSnapshotError naming what is missing, too many or wrong.
    """
    if set(arrays) != set(shapes) | also:
        raise InvalidSnapshotError(f"arrays {sorted(arrays)}, expected {sorted(set(shapes) | also)}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype != np.float64 or array.shape != tuple(shape):
            raise InvalidSnapshotError(
                f"{name}: {array.dtype} {array.shape}, expected float64 {tuple(shape)}"
            )
        if not np.isfinite(array).all():
            raise InvalidSnapshotError(f"{name} is not finite")
    return {name: arrays[name].copy() for name in shapes}
