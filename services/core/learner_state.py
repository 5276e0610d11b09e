"""All that was learned from the log up to one position, and its bit-exact encoding.

Parts, so that a checkpoint rewrites and a router reads only what it must: `heads` (the policy's arrays
that decisions need; change only when the policy learns), `memory` (all of the policy's arrays, where
decisions need less than that) and `control` (everything else: small JSON, floats by `repr`). Open joins
are not in here, see `services.core.joins`.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from services.core.errors import InvalidSnapshotError
from services.core.events import START, FloatArray, Position
from services.core.ledger import Ledger
from services.core.policies.base import ClassView, ModelPrior, Policy
from services.core.virtual_queue import updated_queue

HEADS = "heads"
MEMORY = "memory"
CONTROL = "control"
_FORMAT = 6
_REVISION = "revision"
_DIGEST_BYTES = 16


@dataclass(slots=True)
class ClassStatistics:
    """What is known of one SLA class.

    Attributes:
        served: answers served per model of today's zoo, shape (M,).
        steps: decisions so far (the log's step number of the newest).
        labelled: requests whose served answer was labelled.
        satisfaction_sum: sum of those labels.
        virtual_queue: Q, >= 0.
        explorations: exploration steps so far.
        energy_joules: joules of all generations, explored and failed ones included.
        exploration_energy_joules: joules of the explored generations.
        ledger: what is owed, and the share of answers that get a label.

    """

    served: list[int]
    steps: int = 0
    labelled: int = 0
    satisfaction_sum: float = 0.0
    virtual_queue: float = 0.0
    explorations: int = 0
    energy_joules: float = 0.0
    exploration_energy_joules: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def mean_satisfaction(self) -> float | None:
        """Mean label of the served answers; None before the first."""
        return self.satisfaction_sum / self.labelled if self.labelled else None

    def view(self, name: str, min_satisfaction: float, step: int, decision_debt: float) -> ClassView:
        """The class as a policy sees it, with what is newer than these statistics."""
        return ClassView(
            min_satisfaction,
            step,
            self.virtual_queue,
            decision_debt,
            name,
            self.ledger.label_credit,
            self.ledger.label_rate,
            self.labelled,
        )

    def model_shares(self) -> tuple[float, ...]:
        """Share of served answers per model, shape (M,); zeros before the first decision."""
        total = sum(self.served)
        return tuple(count / total if total else 0.0 for count in self.served)

    def count_decision(self, step: int, explored: bool) -> None:
        """A request was routed."""
        self.steps = max(self.steps, step)
        self.explorations += explored

    def count_served(self, model_index: int | None, change: int = 1) -> None:
        """A model serves one request more, or one less; None: a model that the zoo does not have."""
        if model_index is not None:
            self.served[model_index] += change

    def count_label(self, min_satisfaction: float, satisfaction: float) -> None:
        """A served answer got its label: updates Q."""
        self.labelled += 1
        self.satisfaction_sum += satisfaction
        self.virtual_queue = updated_queue(self.virtual_queue, min_satisfaction, satisfaction)

    def count_energy(self, energy_joules: float, explored: bool) -> None:
        """A generation of this class got its joules."""
        self.energy_joules += energy_joules
        if explored:
            self.exploration_energy_joules += energy_joules


@dataclass(slots=True)
class ModelEnergy:
    """Running mean of a model's joules per generation.

    Attributes:
        samples: generations with attributed energy.
        weight: the same plus the prior's pseudo-observations.
        total_joules: their sum, the prior's pseudo-observations included.

    """

    samples: int = 0
    weight: float = 0.0
    total_joules: float = 0.0

    @classmethod
    def from_prior(cls, energy_joules: float | None, observations: float) -> "ModelEnergy":
        """A mean that an operator's prior starts, worth `observations` measured ones."""
        return cls() if energy_joules is None else cls(0, observations, observations * energy_joules)

    def add(self, energy_joules: float) -> None:
        """One more generation."""
        self.samples += 1
        self.weight += 1.0
        self.total_joules += energy_joules


@dataclass(slots=True)
class Counters:
    """What the fold did so far.

    Attributes:
        events: entries folded.
        labels_learned: labels that changed the state.
        explorations_learned: exploration steps that the policy learned from.
        repeats: labels and energy figures that repeated an earlier one.
        expired_joins: joins given up at their time limit or at the cap.
        dead_events: events that could not be processed.

    """

    events: int = 0
    labels_learned: int = 0
    explorations_learned: int = 0
    repeats: int = 0
    expired_joins: int = 0
    dead_events: int = 0


@dataclass(slots=True)
class LearnerState:
    """Everything learned up to `position`, open joins aside.

    Attributes:
        model_ids: the zoo's models, from smallest to largest.
        policy_state: the policy's own state.
        energy: per model, in the same order.
        position: newest entry of the log that is in here.
        heads_revision: times that the policy state changed; routers fetch `heads` when it moved.
        classes: SLA class name -> what is known of it.
        counters: what the fold did.

    """

    model_ids: tuple[str, ...]
    policy_state: Any
    energy: list[ModelEnergy]
    position: Position = START
    heads_revision: int = 0
    classes: dict[str, ClassStatistics] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    def sla_class(self, name: str) -> ClassStatistics:
        """Statistics of a class, new ones at its first mention."""
        if name not in self.classes:
            self.classes[name] = ClassStatistics([0] * len(self.model_ids))
        return self.classes[name]


def initial_state(
    policy: Policy[Any], priors: Sequence[ModelPrior], feature_count: int, prior_observations: float
) -> LearnerState:
    """The state before any event; an operator's joules count as `prior_observations` measured ones."""
    return LearnerState(
        tuple(prior.model_id for prior in priors),
        policy.initial_state(priors, feature_count),
        [ModelEnergy.from_prior(prior.energy_joules, prior_observations) for prior in priors],
    )


def energy_means_joules(state: LearnerState) -> FloatArray:
    """E_m: mean joules per generation, shape (M,), > 0.

    A model never measured and without a prior counts as the mean of the others, and as 1 J where none is
    known: then all are equal, and satisfaction alone decides.
    """
    known = [e.total_joules / e.weight for e in state.energy if e.weight > 0]
    stand_in = sum(known) / len(known) if known else 1.0
    means = [e.total_joules / e.weight if e.weight > 0 else stand_in for e in state.energy]
    return np.array(means)


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
