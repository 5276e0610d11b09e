"""One decision: features, eligible models and the learned state in, a decision event out. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.common.zoo import Zoo
from services.core.decisions import decision_event
from services.core.errors import NoEligibleModelError
from services.core.events import Decision, FloatArray
from services.core.exploration import DecisionRandom, decision_seed
from services.core.policies.base import Action, BoolArray, ClassView, Context, ModelPrior, Policy
from services.core.policies.selection import prior_satisfactions, smallest_score
from services.core.snapshot import Snapshot
from services.router.class_states import ClassStates
from services.router.fleet import Fleet
from services.router.ports import FeatureSource
from services.router.requests import RouteRequest, Started
from services.router.snapshots import Snapshots

FALLBACK_POLICY = "fallback"


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision and what a second thought needs.

    Attributes:
        event: the decision as the log will hold it.
        scores: of every model, shape (M,); the smallest eligible one is the next best.
        eligible: shape (M,).

    """

    event: Decision
    scores: FloatArray
    eligible: BoolArray

    @property
    def debt_change(self) -> float:
        """What the decision adds to its class's debt."""
        return self.event.min_satisfaction - self.event.charged_satisfaction

    def started(self, degraded: bool, step: int | None = None) -> Started:
        """The decision as the client sees it."""
        event = self.event
        index = event.model_ids.index(event.model_id)
        return Started(
            event.request_id,
            event.generation_id,
            event.model_id,
            event.sla_class,
            event.energy_joules[index],
            event.charged_satisfaction,
            event.explored,
            degraded,
            event.snapshot_version,
            event.explored_generations,
            step,
        )

    def next_best(self, excluded: BoolArray) -> int | None:
        """Index of the best eligible model that is not excluded, shape (M,); None if there is none."""
        left = self.eligible & ~excluded
        if not left.any():
            return None
        return smallest_score(self.scores, np.array(self.event.energy_joules), left)


class Chooser:
    """Decides with the newest snapshot and the classes' last known states.

    Args:
        zoo: models and SLA classes.
        policy: the zoo's policy.
        priors: parallel to the zoo's models.
        features: text to numbers.
        fleet: who may serve.
        snapshots: learned state.
        classes: step and debt per class.
        router_id: of this replica.

    """

    def __init__(
        self,
        zoo: Zoo,
        policy: Policy[Any],
        priors: tuple[ModelPrior, ...],
        features: FeatureSource,
        fleet: Fleet,
        snapshots: Snapshots,
        classes: ClassStates,
        router_id: str,
    ) -> None:
        self._zoo_name, self._model_ids, self._policy = zoo.name, zoo.model_ids, policy
        self._index: Mapping[str, int] = {model_id: i for i, model_id in enumerate(zoo.model_ids)}
        self._unknown_joules = np.ones(len(zoo.models))
        self._prior_satisfactions = prior_satisfactions(priors)
        self._features, self._fleet = features, fleet
        self._snapshots, self._classes, self._router_id = snapshots, classes, router_id

    def choose(self, request: RouteRequest, traceparent: str, kept_model: str | None = None) -> Choice:
        """Decides. `kept_model` is served if it may be. Raises NoEligibleModelError."""
        eligible = self._eligible(request, kept_model)
        features = self._features.features(request.text)
        seed = decision_seed(self._zoo_name, request.request_id)
        snapshot = self._snapshots.current
        view = self._view(request, snapshot)
        if snapshot is None:
            version, policy = 0, FALLBACK_POLICY
            context = Context(features, self._unknown_joules, eligible, view)
            action = self._fall_back(request, eligible)
        else:
            version, policy = snapshot.version, self._policy.name
            loads = self._fleet.load_factors()
            context = Context(features, snapshot.energy_joules, eligible, view, load_factors=loads)
            action = self._policy.decide(context, snapshot.policy_state, DecisionRandom(seed))
        event = decision_event(
            request.request_id,
            self._model_ids,
            context,
            action,
            policy=policy,
            snapshot_version=version,
            seed=seed,
            router_id=self._router_id,
            traceparent=traceparent,
        )
        return Choice(event, action.scores, eligible)

    def _eligible(self, request: RouteRequest, kept_model: str | None) -> BoolArray:
        eligible = self._fleet.eligible(request)
        # As a list, since reducing a few flags costs more as an array.
        if True not in eligible.tolist():
            raise NoEligibleModelError(self._fleet.obstacles(request))
        kept = self._index.get(kept_model) if kept_model else None
        if kept is None or not eligible[kept]:
            return eligible
        only = np.zeros_like(eligible)
        only[kept] = True
        return only

    def _view(self, request: RouteRequest, snapshot: Snapshot | None) -> ClassView:
        name = request.sla_class.name
        step, debt = self._classes.state(name)
        if snapshot is None:
            return ClassView(request.min_satisfaction, step + 1, 0.0, debt, name)
        return snapshot.view(name, request.min_satisfaction, step + 1, debt)

    def _fall_back(self, request: RouteRequest, eligible: BoolArray) -> Action:
        """The class's fallback model, or the largest eligible one: nothing is known of what was learned."""
        wanted = self._index.get(request.sla_class.fallback_model or "", -1)
        scores = -np.arange(1.0, len(eligible) + 1.0)
        if wanted >= 0:
            scores[wanted] = -np.inf
        index = smallest_score(scores, self._unknown_joules, eligible)
        return Action(index, False, self._prior_satisfactions, None, scores)
