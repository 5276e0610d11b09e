"""One run: every request of a stream is decided, answered and learned from, as live.

Time is the stream's: one request a second. A request's decision is followed by the outcome and the joules
of each of its generations at once, and by its labels before the decision that their delay names. All of it
goes as the log's own events through the same `Fold` that the learner runs.

The router of the replay decides on the learner's state as of the last event before the decision; with
`snapshot_every` above 1 it keeps a snapshot for that many requests, taken through the checkpoint's encoding
as routers read it. Steps and debts are up to date in either case, as one router's are.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.replay.labels import Judging
from planner.replay.outcomes import Outcomes
from planner.replay.router import ReplayRequest, ReplayRouter
from planner.replay.streams import Stream
from services.core.events import (
    Decision,
    EnergyAttributed,
    Entry,
    Event,
    FloatArray,
    Label,
    Outcome,
    Position,
    Role,
)
from services.core.fold import Fold
from services.core.policies.base import ModelPrior, Policy

MILLISECONDS_PER_REQUEST = 1000
ONE_CLASS = "all"
"""Name of the SLA class where there is only one."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What sets one run apart.

    Attributes:
        min_satisfaction: alpha, in (0, 1).
        zoo: name that the seeds of decisions are derived from, with the request ids.
        class_per_benchmark: whether every benchmark is an SLA class of its own, each promised alpha.
        snapshot_every: requests between two snapshots of the router, >= 1.

    """

    min_satisfaction: float
    zoo: str
    class_per_benchmark: bool = False
    snapshot_every: int = 1


@dataclass(slots=True, eq=False)
class Trace:
    """What happened, request by request; all arrays have shape (n,) unless said otherwise."""

    models: npt.NDArray[np.int64]
    """Index of the served model."""
    satisfaction: FloatArray
    """Of the served answer, judged or not."""
    energy_joules: FloatArray
    """Of all generations of the request."""
    explored_joules: FloatArray
    """Of those that were only run to learn."""
    predicted_satisfaction: FloatArray
    """Of the served answer, at the decision."""
    predicted_joules: FloatArray
    """Of the served answer, at the decision."""
    virtual_queue: FloatArray
    """Q as the decision saw it."""
    ledger: FloatArray
    """Decision debt at the decision minus the credit of all labels until then."""
    dual_joules: FloatArray
    """lambda, joules that a unit of satisfaction may cost; 0 for policies without."""
    labelled: npt.NDArray[np.bool_]
    """Whether the request was judged."""

    @classmethod
    def empty(cls, count: int) -> "Trace":
        """A trace of `count` requests to be filled in."""
        return cls(
            models=np.zeros(count, np.int64),
            satisfaction=np.zeros(count),
            energy_joules=np.zeros(count),
            explored_joules=np.zeros(count),
            predicted_satisfaction=np.zeros(count),
            predicted_joules=np.zeros(count),
            virtual_queue=np.zeros(count),
            ledger=np.zeros(count),
            dual_joules=np.zeros(count),
            labelled=np.zeros(count, bool),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its trace and the learner at its end."""

    trace: Trace
    fold: Fold


class Driver:
    """Plays one stream against one policy.

    Args:
        outcomes: names and texts of requests and models.
        features: shape (n, d), one row per request of `outcomes`.
        stream: what arrives.
        judging: who judges.
        policy: decides and learns.
        priors: parallel to the models.
        settings: see there.

    """

    def __init__(
        self,
        outcomes: Outcomes,
        features: FloatArray,
        stream: Stream,
        judging: Judging,
        policy: Policy[Any],
        priors: tuple[ModelPrior, ...],
        settings: RunSettings,
    ) -> None:
        self._outcomes, self._features, self._stream, self._judging = outcomes, features, stream, judging
        self._settings = settings
        self._fold = Fold(policy, priors, features.shape[1])
        self._router = ReplayRouter(policy, priors, self._fold, settings.zoo, settings.snapshot_every)
        self._index = {model: i for i, model in enumerate(outcomes.model_ids)}
        self._due: deque[tuple[int, Label]] = deque()
        self._milliseconds = self._sequence = 0
        self._trace = Trace.empty(len(outcomes))

    def run(self, on_request: Callable[[], None] = lambda: None) -> Run:
        """Plays the whole stream; labels that are still due at its end come after it."""
        for number in range(len(self._stream.indices)):
            self._milliseconds, self._sequence = (number + 1) * MILLISECONDS_PER_REQUEST, 0
            self._judge_until(number)
            self._serve(number)
            on_request()
        self._judge_until(len(self._stream.indices) + self._judging.regime.delay_requests)
        return Run(self._trace, self._fold)

    def _serve(self, number: int) -> None:
        request = int(self._stream.indices[number])
        by_benchmark = self._settings.class_per_benchmark
        known = self._stream.satisfaction[number] if self._judging.regime.at_once else None
        arrived = ReplayRequest(
            self._outcomes.request_ids[request],
            self._outcomes.benchmarks[request] if by_benchmark else ONE_CLASS,
            self._features[request],
            known,
        )
        decision = self._router.decide(arrived, self._settings.min_satisfaction)
        ledger = self._router.ledger(decision.sla_class, decision.decision_debt)
        self._append(decision)
        served = self._index[decision.model_id]
        self._record(number, decision, served, ledger)
        generations = [(served, decision.generation_id, Role.SERVED)]
        generations += [
            (self._index[g.model_id], g.generation_id, Role.EXPLORED) for g in decision.explored_generations
        ]
        for model, generation_id, role in generations:
            self._answer(number, decision.request_id, model, generation_id, role)
        self._judge(number, decision, served, generations)

    def _record(self, number: int, decision: Decision, served: int, ledger: float) -> None:
        trace = self._trace
        trace.models[number] = served
        trace.satisfaction[number] = self._stream.satisfaction[number, served]
        trace.predicted_satisfaction[number] = decision.charged_satisfaction
        trace.predicted_joules[number] = decision.energy_joules[served]
        trace.virtual_queue[number], trace.ledger[number] = decision.virtual_queue, ledger
        trace.dual_joules[number] = decision.dual_joules

    def _answer(self, number: int, request_id: str, model: int, generation_id: str, role: Role) -> None:
        joules = float(self._stream.energy_joules[number, model])
        self._trace.energy_joules[number] += joules
        if role is Role.EXPLORED:
            self._trace.explored_joules[number] += joules
        name = self._outcomes.model_ids[model]
        prompt_tokens, completion_tokens = self._tokens(number, model)
        self._append(
            Outcome(
                request_id=request_id,
                generation_id=generation_id,
                model_id=name,
                role=role,
                prompt_tokens=prompt_tokens,
                cached_prompt_tokens=0,
                completion_tokens=completion_tokens,
                time_to_first_token_seconds=None,
                latency_seconds=0.0,
                finish_reason="stop",
            )
        )
        self._append(EnergyAttributed(request_id, generation_id, name, joules, method="replay"))

    def _tokens(self, number: int, model: int) -> tuple[int, int]:
        if self._outcomes.tokens is None:
            return 0, 0
        prompt, completion = self._outcomes.tokens[self._stream.indices[number], model]
        return int(prompt), int(completion)

    def _judge(
        self, number: int, decision: Decision, served: int, generations: list[tuple[int, str, Role]]
    ) -> None:
        source = self._judging.source(number, float(self._stream.satisfaction[number, served]))
        if source is None:
            return
        self._trace.labelled[number] = True
        due = number + self._judging.regime.delay_requests
        for model, generation_id, _ in generations:
            satisfaction = float(self._stream.satisfaction[number, model])
            self._due.append((due, Label(decision.request_id, generation_id, satisfaction, source)))

    def _judge_until(self, number: int) -> None:
        """Labels that come before the decision on request `number`."""
        while self._due and self._due[0][0] < number:
            self._append(self._due.popleft()[1])

    def _append(self, event: Event) -> None:
        self._sequence += 1
        self._fold.apply(Entry(Position(self._milliseconds, self._sequence), event))
