"""The model store: weights on this machine, fetched once and known by their sha256."""

from services.common.model_store.catalogue import ModelSpec, catalogue, resolve
from services.common.model_store.errors import (
    DiskFullError,
    HashMismatchError,
    NoSourceError,
    SourceError,
)
from services.common.model_store.progress import Progress, PullEvent, PullPhase, silent
from services.common.model_store.settings import ModelStoreSettings
from services.common.model_store.store import ModelStatus, ModelStore

__all__ = [
    "DiskFullError",
    "HashMismatchError",
    "ModelSpec",
    "ModelStatus",
    "ModelStore",
    "ModelStoreSettings",
    "NoSourceError",
    "Progress",
    "PullEvent",
    "PullPhase",
    "SourceError",
    "catalogue",
    "resolve",
    "silent",
]
