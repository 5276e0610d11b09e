"""What the router tells about itself: why a decision fell, the models, where the SLA classes stand."""

from typing import Any, NamedTuple

from services.common.zoo import Zoo
from services.core.errors import NotFoundError
from services.core.events import Decision
from services.core.learner_state import ClassStatistics
from services.core.policies.base import Policy
from services.router.choosing import FALLBACK_POLICY
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.failures import FailedGeneration, failed_generations
from services.router.fleet import Fleet
from services.router.ports import ClassState, EventLog
from services.router.snapshots import Snapshots


class Explanation(NamedTuple):
    """A decision from the log, its models' scores (None where the policy has none), the rule in words.

    `failures` are what failed of the request afterwards.
    """

    decision: Decision
    scores: tuple[float, ...] | None
    energy_weight: float
    reason: str
    failures: list[FailedGeneration]


class ModelView(NamedTuple):
    """A model as it stands now."""

    model_id: str
    ready: bool
    detail: str
    context_window_tokens: int
    running: int
    waiting: int
    mean_energy_joules: float
    energy_samples: int


class ClassStatus(NamedTuple):
    """An SLA class as it stands now; `statistics` is None before the learner saw its first decision."""

    name: str
    min_satisfaction: float
    state: ClassState
    statistics: ClassStatistics | None


class Views:
    """Answers from what this router knows; only `explain` asks the log."""

    def __init__(
        self,
        zoo: Zoo,
        policy: Policy[Any],
        fleet: Fleet,
        snapshots: Snapshots,
        classes: ClassStates,
        commits: Commits,
        log: EventLog,
    ) -> None:
        self._zoo, self._policy, self._fleet = zoo, policy, fleet
        self._snapshots, self._classes, self._commits, self._log = snapshots, classes, commits, log

    @property
    def snapshot_version(self) -> int:
        """Version of the learned state in use; 0: none yet."""
        return self._snapshots.current.version if self._snapshots.current else 0

    @property
    def degraded(self) -> bool:
        """Whether the log is out of reach."""
        return self._commits.degraded

    async def explain(self, request_id: str) -> Explanation:
        """Why a request went where it went. Raises NotFoundError, StateUnavailableError."""
        await self._commits.flushed()
        decision = await self._log.decision(request_id)
        if decision is None:
            raise NotFoundError("request", request_id, "unknown, or older than decisions are kept")
        weight = self._policy.energy_weight if decision.policy == self._policy.name else 0.0
        scores = _scores(decision, weight) if weight else decision.scores or None
        failures = failed_generations(await self._log.failures(request_id))
        return Explanation(decision, scores, weight, _reason(decision, scores, weight), failures)

    def models(self) -> list[ModelView]:
        """Every model, in the zoo's order."""
        return [self._model(index, model_id) for index, model_id in enumerate(self._zoo.model_ids)]

    def _model(self, index: int, model_id: str) -> ModelView:
        snapshot, load, ready = self._snapshots.current, self._fleet.load(index), self._fleet.ready(index)
        return ModelView(
            model_id,
            ready,
            "" if ready else self._fleet.detail(index),
            self._fleet.window_tokens(index),
            load.running,
            load.waiting,
            float(snapshot.energy_joules[index]) if snapshot else 0.0,
            snapshot.energy[index].samples if snapshot else 0,
        )

    def classes(self, name: str) -> list[ClassStatus]:
        """One class, or all for "". Raises NotFoundError."""
        chosen = [c for c in self._zoo.sla_classes if name in ("", c.name)]
        if not chosen:
            known = ", ".join(c.name for c in self._zoo.sla_classes)
            raise NotFoundError("SLA class", name, f"this zoo has {known}")
        known_classes = self._snapshots.current.classes if self._snapshots.current else {}
        return [
            ClassStatus(c.name, c.min_satisfaction, self._classes.state(c.name), known_classes.get(c.name))
            for c in chosen
        ]


def _scores(decision: Decision, energy_weight: float) -> tuple[float, ...]:
    """V * E_m + Q * (alpha - A^_m) per model."""
    pairs = zip(decision.energy_joules, decision.satisfaction_means, strict=True)
    queue, target = decision.virtual_queue, decision.min_satisfaction
    return tuple(energy_weight * joules + queue * (target - mean) for joules, mean in pairs)


def _reason(decision: Decision, scores: tuple[float, ...] | None, energy_weight: float) -> str:
    chosen = decision.model_ids.index(decision.model_id)
    return (
        f"{decision.policy} at step {decision.step_seen} chose {decision.model_id}"
        f" (expected satisfaction {decision.satisfaction_means[chosen]:.3f},"
        f" {decision.energy_joules[chosen]:.3g} J){_because(decision, scores, energy_weight, chosen)}"
    )


def _because(decision: Decision, scores: tuple[float, ...] | None, energy_weight: float, chosen: int) -> str:
    if decision.policy == FALLBACK_POLICY:
        return ": nothing was learned yet, so the class's fallback model or the largest eligible one serves"
    if decision.explored:
        return " to learn: every eligible model answers and the largest one's answer is served"
    if sum(decision.eligible) == 1:
        return ": no other model was eligible"
    if scores is None:
        return f"; its target is {decision.min_satisfaction:g}"
    if decision.dual_joules:
        return _by_dual(decision, chosen)
    return (
        f": smallest V*E + Q*(alpha - A) = {scores[chosen]:.4g} of the eligible models,"
        f" {_lead(decision, scores, chosen, '')},"
        f" with V = {energy_weight:g} 1/J, Q = {decision.virtual_queue:.4g},"
        f" alpha = {decision.min_satisfaction:g}"
    )


def _by_dual(decision: Decision, chosen: int) -> str:
    """Of a policy whose score is C~ - lambda * p~, both drawn."""
    return (
        f": smallest C~ - lambda*p~ = {decision.scores[chosen]:.4g} J of the eligible models,"
        f" {_lead(decision, decision.scores, chosen, ' J')} (C~, p~: joules and satisfaction, each drawn"
        f" within its uncertainty), with lambda = {decision.dual_joules:.4g} J per unit of satisfaction,"
        f" D = {decision.debt:.4g} requests owed, alpha = {decision.min_satisfaction:g},"
        f" snapshot {decision.snapshot_version}{_load(decision)}"
    )


def _load(decision: Decision) -> str:
    """What the workers' load made of the joules; nothing where all were idle."""
    pairs = zip(decision.model_ids, decision.load_factors, strict=False)
    loaded = [f"{model_id}'s are {factor:.3g} of it" for model_id, factor in pairs if factor != 1.0]
    return f"; an idle worker would take more: {', '.join(loaded)}" if loaded else ""


def _lead(decision: Decision, scores: tuple[float, ...], chosen: int, unit: str) -> str:
    """How far ahead of the next best eligible model the chosen one was; there is at least one other."""
    others = [i for i, may in enumerate(decision.eligible) if may and i != chosen]
    second = min(others, key=scores.__getitem__)
    return f"{scores[second] - scores[chosen]:.4g}{unit} less than {decision.model_ids[second]}'s"
