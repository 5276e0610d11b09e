"""What a router replica does with one request, without the network around it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from services.core.decisions import decision_event
from services.core.events import Decision, FloatArray
from services.core.exploration import DecisionRandom, decision_seed
from services.core.fold import Fold, FoldSettings
from services.core.learner_state import energy_means_joules
from services.core.policies.base import Context, ModelPrior, Policy
from services.core.snapshot import Snapshot, decode_snapshot, prior_snapshot


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A request that arrives.

    Attributes:
        request_id: its id.
        sla_class: its SLA class.
        features: shape (d,).
        known_satisfaction: of every model, shape (M,), where answers are judged before one is served; see
            `Context`. Only the exploration step of `messplus-2024` looks at it.

    """

    request_id: str
    sla_class: str
    features: FloatArray
    known_satisfaction: FloatArray | None


class _ClassState:
    """Step and decision debt of an SLA class, which live are advanced with every committed decision."""

    def __init__(self) -> None:
        self.step, self.debt = 0, 0.0


class ReplayRouter:
    """Decides on the learner's state as routers do.

    Args:
        policy: the policy.
        priors: parallel to the models.
        fold: the learner, read only.
        zoo: name that seeds are derived from.
        snapshot_every: requests between two snapshots; with 1, the state is always the newest.

    """

    def __init__(
        self, policy: Policy[Any], priors: tuple[ModelPrior, ...], fold: Fold, zoo: str, snapshot_every: int
    ) -> None:
        self._policy, self._priors, self._fold, self._zoo = policy, priors, fold, zoo
        self._model_ids = tuple(prior.model_id for prior in priors)
        self._eligible = np.ones(len(priors), bool)
        self._every, self._requests = snapshot_every, 0
        self._kept: Snapshot | None = None
        self._parts: dict[str, bytes] = {}
        self._classes: dict[str, _ClassState] = {}

    def decide(self, request: ReplayRequest, min_satisfaction: float) -> Decision:
        """The decision event, and its step and debt counted as the log would."""
        snapshot = self._newest(len(request.features))
        state = self._classes.setdefault(request.sla_class, _ClassState())
        view = snapshot.view(request.sla_class, min_satisfaction, state.step + 1, state.debt)
        context = Context(
            request.features, snapshot.energy_joules, self._eligible, view, request.known_satisfaction
        )
        seed = decision_seed(self._zoo, request.request_id)
        action = self._policy.decide(context, snapshot.policy_state, DecisionRandom(seed))
        event = decision_event(
            request.request_id,
            self._model_ids,
            context,
            action,
            policy=self._policy.name,
            snapshot_version=snapshot.version,
            seed=seed,
            step=view.step,
        )
        state.step += 1
        state.debt += min_satisfaction - event.charged_satisfaction
        return event

    def ledger(self, sla_class: str, decision_debt: float) -> float:
        """What a class owes: its decision debt minus the credit of the labels that the fold has seen."""
        statistics = self._fold.state.classes.get(sla_class)
        return decision_debt - (statistics.ledger.label_credit if statistics else 0.0)

    def _newest(self, feature_count: int) -> Snapshot:
        """The snapshot to decide on; every request is one step."""
        number, self._requests = self._requests, self._requests + 1
        if self._every == 1:
            # The learner's state itself: what `decode_snapshot` gives is equal, but takes milliseconds.
            state, version = self._fold.state, self._fold.state.counters.events
            return Snapshot(
                version,
                state.heads_revision,
                state.policy_state,
                state.classes,
                state.energy,
                energy_means_joules(state),
                state.counters,
                state.model_ids,
            )
        if self._kept is None:
            observations = FoldSettings().prior_energy_observations
            self._kept = prior_snapshot(self._policy, self._priors, feature_count, observations)
        elif number % self._every == 0:
            self._parts |= self._fold.checkpoint_delta().parts_changed
            version = number // self._every
            self._kept = decode_snapshot(version, self._parts, self._policy, self._priors, feature_count)
        return self._kept
