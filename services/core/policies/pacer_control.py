"""The control law of `pacer`: what a joule may buy, solved from the newest contexts.

The dual variable lambda (joules per unit of satisfaction) is not stepped but solved: it is the value at
which the newest requests, scored again with today's predictions, would have met the target. It is bounded
by the zoo's own joules, so it cannot wind up while alpha is out of reach.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from services.core.events import FloatArray
from services.core.model_change import Places
from services.core.policies.pacer_parameters import PacerParameters

_PRECISION = 0.01
_FIRST_STEP = 0.25
_LOWEST, _HIGHEST = 0.01, 30.0
_NEAR_BEST, _LEAST_MARGIN = 0.01, 0.005
_EARLY_WEIGHT = 0.01
_LEAST_LABELS, _WINDOW_SHARE, _PATIENCE = 250.0, 5.5, 1.5
_RESERVE_STEPS, _RESERVE_SHARE = 250.0, 0.025

EARLY_STEPS = 25
"""Decisions before lambda is solved at its own pace."""


@dataclass(frozen=True, slots=True)
class SlaLedger:
    """Where an SLA class stands when its target is set.

    Attributes:
        min_satisfaction: alpha.
        debt: D, in satisfied requests.
        label_rate: share of due answers that got a label, in (0, 1].
        labels: answers that got one.

    """

    min_satisfaction: float
    debt: float
    label_rate: float
    labels: int


@dataclass(slots=True)
class ClassControl:
    """What `pacer` keeps of one SLA class.

    Attributes:
        steps: decisions so far.
        log_lambda: ln of the dual variable, J.
        mean_features: moving mean of the features, shape (d,).
        contexts: newest features, little-endian float16 as the log holds them, shape (capacity, d).
        filled: rows of `contexts` in use.
        next_row: where the next context goes.
        infeasible: whether no model is believed to reach alpha.

    """

    steps: int
    log_lambda: float
    mean_features: FloatArray
    contexts: np.ndarray[tuple[int, int], np.dtype[np.float16]]
    filled: int = 0
    next_row: int = 0
    infeasible: bool = False

    @classmethod
    def empty(cls, capacity: int, feature_count: int) -> "ClassControl":
        """Before the first decision."""
        return cls(0, 0.0, np.zeros(feature_count), np.zeros((capacity, feature_count), np.float16))

    def push(self, features: FloatArray, capacity: int) -> None:
        """One more request; keeps at most `capacity` of the newest contexts."""
        if len(self.contexts) != capacity:
            self._resize(capacity)
        self.steps += 1
        self.mean_features += (features - self.mean_features) / min(self.steps, capacity)
        self.contexts[self.next_row] = features
        self.filled = max(self.filled, self.next_row + 1)
        self.next_row = (self.next_row + 1) % len(self.contexts)

    def _resize(self, capacity: int) -> None:
        """Another number of contexts: the newest stay, in order."""
        order = (np.arange(self.filled) + self.next_row) % max(self.filled, 1)
        newest = self.contexts[order][-capacity:]
        self.contexts = np.zeros((capacity, len(self.mean_features)), np.float16)
        self.contexts[: len(newest)] = newest
        self.filled, self.next_row = len(newest), len(newest) % capacity

    def recent(self) -> FloatArray:
        """The newest contexts, shape (n, d), in no particular order."""
        return self.contexts[: self.filled].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What every model would give for n contexts.

    Attributes:
        satisfaction: predicted, shape (n, M).
        draws: exploratory draws of it, shape (n, M).
        energy_joules: predicted, shape (n, M).

    """

    satisfaction: FloatArray
    draws: FloatArray
    energy_joules: FloatArray

    def bounds(self) -> tuple[float, float]:
        """ln of the least and the most that lambda may be."""
        means = self.energy_joules.mean(0)
        return math.log(_LOWEST * float(means.min())), math.log(_HIGHEST * float(means.max()))

    def mean_satisfaction(self, log_lambda: float) -> float:
        """What serving argmin C - lambda * draw is predicted to give."""
        return self._mean(self.satisfaction, self._chosen(log_lambda))

    def mean_joules(self, log_lambda: float) -> float:
        """What that is predicted to take."""
        return self._mean(self.energy_joules, self._chosen(log_lambda))

    def best(self) -> float:
        """What always serving the best model is predicted to give."""
        return self._mean(self.satisfaction, self.draws.argmax(1))

    def _chosen(self, log_lambda: float) -> Places:
        """The place of the model that each context gets, shape (n,)."""
        chosen: Places = (self.energy_joules - math.exp(log_lambda) * self.draws).argmin(1)
        return chosen

    @staticmethod
    def _mean(values: FloatArray, chosen: Places) -> float:
        found = values[np.arange(len(chosen)), chosen]
        return float(np.add.reduce(found)) / len(found)

    def solved(self, goal: float, bounds: tuple[float, float], start: float | None = None) -> float:
        """ln lambda at which the mean predicted satisfaction meets `goal`, within these bounds.

        `start` is where it is expected: near there it is found in half the time.
        """
        low, high = bounds
        # Lambda often stands at a bound: no rounding of joules in another unit may take it for inside.
        if start is not None and low + _PRECISION < start < high - _PRECISION:
            low, high = self._bracket(goal, start, low, high)
        while high - low > _PRECISION:
            middle = 0.5 * (low + high)
            if self.mean_satisfaction(middle) < goal:
                low = middle
            else:
                high = middle
        return high

    def _bracket(self, goal: float, start: float, low: float, high: float) -> tuple[float, float]:
        step = _FIRST_STEP
        if self.mean_satisfaction(start) < goal:
            low = start
            while low + step < high:
                if self.mean_satisfaction(low + step) >= goal:
                    return low, low + step
                low, step = low + step, 2.0 * step
        else:
            high = start
            while high - step > low:
                if self.mean_satisfaction(high - step) < goal:
                    return high - step, high
                high, step = high - step, 2.0 * step
        return low, high


def window_requests(parameters: PacerParameters, ledger: SlaLedger, steps: int) -> float:
    """W: requests over which debt is paid back; savings are spent over half as many again.

    What is owed wanders about as sqrt(0.22 W / 2) requests, so over n of them W may grow with n. A shorter W
    keeps the target more closely and buys it more dearly.
    """
    grown = min(steps / _WINDOW_SHARE, float(parameters.window))
    window = max(_LEAST_LABELS / ledger.label_rate, grown)
    return window if ledger.debt >= 0.0 else _PATIENCE * window


def target(parameters: PacerParameters, ledger: SlaLedger, steps: int) -> float:
    """Mean satisfaction to aim at: alpha, debt spread over the window, a margin for missing labels."""
    paid_back = ledger.debt / window_requests(parameters, ledger, steps)
    unlabelled = 0.5 * math.sqrt(0.23 * (1.0 - ledger.label_rate) / (ledger.labels + 10.0))
    return ledger.min_satisfaction + min(max(paid_back, -0.15), 0.05) + unlabelled


def reserve_requests(
    parameters: PacerParameters, control: ClassControl, candidates: Candidates, window: float
) -> float:
    """Satisfied requests to keep above alpha, so that chance alone seldom ends below it.

    As many as the joules of `parameters.reserve` requests buy at lambda: more where satisfaction is cheap.
    They are put by as the stream goes on; none at all raises the target by 2.5 points at most.
    """
    mean_joules = candidates.mean_joules(control.log_lambda)
    affordable = parameters.reserve * mean_joules / math.exp(control.log_lambda)
    begun = control.steps / (control.steps + _RESERVE_STEPS)
    return begun * min(affordable, _RESERVE_SHARE * window)


def goal(parameters: PacerParameters, ledger: SlaLedger, wanted: float, best: float) -> float:
    """The target; of what lies above alpha, the last hundredth below the best is bought only in debt."""
    spared = _NEAR_BEST * max(0.0, 1.0 - max(0.0, ledger.debt) / parameters.debt_scale)
    return min(wanted, max(best - spared, ledger.min_satisfaction + _LEAST_MARGIN))


def resolve(
    parameters: PacerParameters, control: ClassControl, candidates: Candidates, ledger: SlaLedger
) -> None:
    """Moves lambda towards the value at which the newest contexts would have met the target."""
    low, high = candidates.bounds()
    start = None if control.steps == 1 else control.log_lambda
    window = window_requests(parameters, ledger, control.steps)
    kept = 0.0 if start is None else reserve_requests(parameters, control, candidates, window)
    wanted = target(parameters, replace(ledger, debt=ledger.debt + kept), control.steps)
    solution = candidates.solved(goal(parameters, ledger, wanted, candidates.best()), (low, high), start)
    # A handful of contexts says little: they move lambda from where the first one put it, no more.
    weight = _EARLY_WEIGHT if 1 < control.steps < EARLY_STEPS else 1.0
    moved = control.log_lambda + weight * (solution - control.log_lambda)
    control.log_lambda = min(max(moved, low), high)
