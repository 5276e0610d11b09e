"""The bit-exact encoding of what was learned.

Parts, so that a checkpoint rewrites and a router reads only what it must: `heads` (the policy's arrays
that decisions need; change only when the policy learns), `memory` (all of the policy's arrays, where
decisions need less than that) and `control` (everything else: small JSON, floats by `repr`).
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from services.core.errors import InvalidSnapshotError
from services.core.events import Position
from services.core.learner_state import ClassStatistics, Counters, LearnerState, ModelEnergy
from services.core.ledger import Ledger
from services.core.policies.base import ModelPrior, Policy

HEADS = "heads"
MEMORY = "memory"
CONTROL = "control"
_FORMAT = 6
_REVISION = "revision"
_DIGEST_BYTES = 16


def encode_heads(policy: Policy[Any], state: LearnerState) -> bytes:
    """What decisions need, as an npz behind its BLAKE2b digest; equal states give equal bytes."""
    return _encoded(policy.decision_arrays(state.policy_state), state.heads_revision)


def encode_memory(policy: Policy[Any], state: LearnerState) -> bytes:
    """All of the policy's arrays, in the same form; empty where decisions need them all."""
    if not policy.keeps_memory:
        return b""
    return _encoded(policy.state_arrays(state.policy_state), state.heads_revision)


def _encoded(arrays: Mapping[str, Any], revision: int) -> bytes:
    buffer = io.BytesIO()
    named: dict[str, Any] = {_REVISION: np.array([revision]), **arrays}
    np.savez(buffer, **named)
    return _digest(buffer.getvalue()) + buffer.getvalue()


def encode_control(policy: Policy[Any], state: LearnerState) -> bytes:
    """Everything but the policy's arrays, as JSON; equal states give equal bytes."""
    document = {
        "format": _FORMAT,
        "policy": policy.name,
        "models": state.model_ids,
        "position": str(state.position),
        "heads_revision": state.heads_revision,
        "energy": [asdict(energy) for energy in state.energy],
        "classes": {name: _encode_class(statistics) for name, statistics in state.classes.items()},
        "counters": asdict(state.counters),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def heads_revision(control: bytes) -> int:
    """The revision of `heads` that belongs to this `control`: equal ones need no new fetch.

    Raises InvalidSnapshotError if `control` is damaged.
    """
    return _natural(_document(control), "heads_revision")


def decode_state(
    policy: Policy[Any], priors: Sequence[ModelPrior], feature_count: int, parts: Mapping[str, bytes]
) -> LearnerState:
    """Inverse of the encodings: for the models that it was learned for, which need not be those of `priors`.

    Raises:
        InvalidSnapshotError: a missing or damaged part, another policy, parts of different revisions,
            numbers that are not finite or out of range; the message says which.

    """
    whole = MEMORY if policy.keeps_memory else HEADS
    for name in (CONTROL, HEADS, whole):
        if name not in parts:
            raise InvalidSnapshotError(f"part {name!r} is missing")
    state = decode_control(policy, parts[CONTROL])
    learned_for = _priors_of(state.model_ids, priors)
    # Routers read `heads`: a damaged one must not outlive the learner's restart.
    decode_heads(policy, priors, feature_count, parts[HEADS], state)
    arrays = _decoded(whole, parts[whole], state.heads_revision)
    state.policy_state = policy.state_from_arrays(arrays, learned_for, feature_count)
    return state


def decode_heads(
    policy: Policy[Any], priors: Sequence[ModelPrior], feature_count: int, heads: bytes, control: LearnerState
) -> Any:
    """What decisions need, for the models of `control` and of its revision. Raises InvalidSnapshotError."""
    arrays = _decoded(HEADS, heads, control.heads_revision)
    return policy.decision_state_from_arrays(arrays, _priors_of(control.model_ids, priors), feature_count)


def _priors_of(model_ids: Sequence[str], priors: Sequence[ModelPrior]) -> list[ModelPrior]:
    """Of these models; of one that the zoo has no more, nothing was stated."""
    stated = {prior.model_id: prior for prior in priors}
    return [stated.get(model_id, ModelPrior(model_id)) for model_id in model_ids]


def _decoded(part: str, content: bytes, revision: int) -> dict[str, Any]:
    digest, archive = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    # Checked first: a damaged archive makes its reader fail in a dozen ways, or ask for absurd memory.
    if digest != _digest(archive):
        raise InvalidSnapshotError(f"{part}: digest and content differ")
    with np.load(io.BytesIO(archive), allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    found = int(arrays.pop(_REVISION)[0])
    if found != revision:
        raise InvalidSnapshotError(f"{part}: revision {found} beside control of revision {revision}")
    return arrays


def decode_control(policy: Policy[Any], control: bytes) -> LearnerState:
    """Everything but the policy's state, which is left None. Raises InvalidSnapshotError."""
    document = _document(control)
    _require(document, "format", _FORMAT)
    _require(document, "policy", policy.name)
    model_ids = _model_ids(document)
    try:
        state = LearnerState(
            model_ids,
            None,
            [ModelEnergy(**energy) for energy in document["energy"]],
            Position.parse(document["position"]),
            _natural(document, "heads_revision"),
            {name: _decode_class(values) for name, values in document["classes"].items()},
            Counters(**document["counters"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidSnapshotError(f"control: {error!r}") from error
    _check_ranges(state)
    return state


def _encode_class(statistics: ClassStatistics) -> dict[str, Any]:
    return asdict(statistics) | {"ledger": statistics.ledger.document()}


def _decode_class(values: Mapping[str, Any]) -> ClassStatistics:
    return ClassStatistics(**{**values, "ledger": Ledger.from_document(values["ledger"])})


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _document(control: bytes) -> dict[str, Any]:
    try:
        document = json.loads(control)
    except ValueError as error:
        raise InvalidSnapshotError(f"control: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidSnapshotError("control: not a JSON object")
    return document


def _model_ids(document: Mapping[str, Any]) -> tuple[str, ...]:
    found = document.get("models")
    names = found if isinstance(found, list) else []
    if not names or len({str(name) for name in names}) < len(names):
        raise InvalidSnapshotError(f"control: models is {found!r}, expected ids, each once")
    return tuple(map(str, names))


def _require(document: Mapping[str, Any], key: str, wanted: object) -> None:
    if document.get(key) != wanted:
        raise InvalidSnapshotError(f"control: {key} is {document.get(key)!r}, expected {wanted!r}")


def _natural(document: Mapping[str, Any], key: str) -> int:
    value = document.get(key)
    if type(value) is not int or value < 0:
        raise InvalidSnapshotError(f"control: {key} is {value!r}, expected an integer >= 0")
    return value


def _check_ranges(state: LearnerState) -> None:
    if len(state.energy) != len(state.model_ids):
        raise InvalidSnapshotError(f"control: {len(state.energy)} energies of {len(state.model_ids)} models")
    for model_id, energy in zip(state.model_ids, state.energy, strict=True):
        _check_numbers(f"energy of {model_id}", asdict(energy))
    for name, statistics in state.classes.items():
        numbers = asdict(statistics)
        del numbers["ledger"]  # checked when it was decoded
        _check_numbers(f"class {name}", numbers)
        if len(statistics.served) != len(state.model_ids):
            raise InvalidSnapshotError(f"control: class {name}: served counts {statistics.served}")
    _check_numbers("counters", asdict(state.counters))


def _check_numbers(where: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        for number in value if isinstance(value, list) else [value]:
            if type(number) not in (int, float) or not math.isfinite(number):
                raise InvalidSnapshotError(f"control: {where}: {key} is {number!r}, expected a finite number")
            if number < 0:
                raise InvalidSnapshotError(f"control: {where}: {key} is {number!r}, expected >= 0")
