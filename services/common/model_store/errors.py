"""What can go wrong with weights, each with what to do about it.

ModelStoreError
├── SourceError         one source did not give the file; the next one is tried
│   └── HashMismatchError   a source gave other bytes than promised
├── NoSourceError       every source failed
└── DiskFullError       there is no room for the file
"""

from collections.abc import Sequence

from services.core.errors import ModelStoreError

_GIB = 1 << 30


class SourceError(ModelStoreError):
    """One source (`origin`) did not give the file."""

    def __init__(self, origin: str, reason: str) -> None:
        self.origin, self.reason = origin, reason
        super().__init__(f"{origin}: {reason}")


class HashMismatchError(SourceError):
    """The bytes of `origin` are not the model: their sha256 is `actual`, not `expected`."""

    def __init__(self, model: str, origin: str, expected: str, actual: str, remedy: str) -> None:
        self.model, self.expected, self.actual = model, expected, actual
        super().__init__(origin, f"model {model!r} has sha256 {actual}, expected {expected}; {remedy}")


class NoSourceError(ModelStoreError):
    """Every source of a model failed; `failures` holds why, in the order they were tried."""

    def __init__(self, model: str, failures: Sequence[SourceError]) -> None:
        self.model, self.failures = model, tuple(failures)
        reasons = "\n".join(f"  - {failure}" for failure in failures)
        super().__init__(
            f"model {model!r} could not be fetched:\n{reasons}\n"
            "  Check the network or the path above and run it again (downloads resume), "
            "or set `source` to a local .gguf file."
        )


class DiskFullError(ModelStoreError):
    """The cache's disk has `free_bytes` left where `needed_bytes` more are needed."""

    def __init__(self, model: str, folder: str, needed_bytes: int, free_bytes: int) -> None:
        self.model, self.needed_bytes, self.free_bytes = model, needed_bytes, free_bytes
        super().__init__(
            f"model {model!r} needs {needed_bytes} bytes ({needed_bytes / _GIB:.2f} GiB) more in {folder}, "
            f"which has {free_bytes} bytes ({free_bytes / _GIB:.2f} GiB) free; "
            "free some space or point MESSPLUS_CACHE to a larger disk, then run it again (it resumes)"
        )
