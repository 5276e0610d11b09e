"""What one meter teaches: its lag, its idle power, and the step costs of the models that it measures."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.attribution import Window
from services.core.calibration import (
    COEFFICIENTS,
    F_FEATURE,
    FEATURES,
    LEAST_STEPS,
    MIN_WINDOWS,
    StepCalibration,
    step_features,
)
from services.core.counter_lag import LAGS_NANOSECONDS, MAX_LAG_NANOSECONDS, CounterLag, misfit
from services.core.energy_model import StepLaw
from services.core.idle_power import IdlePower
from services.core.step_curve import StepCurve
from services.core.steps import Step, StepCoefficients, StepWork

__all__ = ["BATCH_WINDOWS", "MeterCalibration"]

Array = NDArray[np.float64]
BATCH_WINDOWS = 128
"""Windows that are learned from at a time."""
MAX_KEPT_STEPS = 50_000
_FEATURED_AT_ONCE = 64
_MIN_LAG_PAUSE_NANOSECONDS, _MAX_LAG_PAUSE_NANOSECONDS = 30_000_000_000, 480_000_000_000
"""Time between two looks at the lag: it doubles while the lag stays as it is."""
_FAR_NANOSECONDS = 15_000_000
_SECONDS_PER_NANOSECOND = 1e-9
_JOULES_PER_MICROJOULE = 1e-6


class _Steps:
    """Steps of one model that windows may still need."""

    def __init__(self) -> None:
        self.starts: deque[int] = deque(maxlen=MAX_KEPT_STEPS)
        self.ends: deque[int] = deque(maxlen=MAX_KEPT_STEPS)
        self._features: deque[Array] = deque(maxlen=MAX_KEPT_STEPS)
        self._works: list[StepWork] = []
        """Of the newest steps: features of many at once cost a fifteenth of one by one."""

    def add(self, step: Step) -> None:
        self.starts.append(step.start_nanoseconds)
        self.ends.append(step.end_nanoseconds)
        self._works.append(step.work)
        if len(self._works) == _FEATURED_AT_ONCE:
            self._find_features()

    def forget_before(self, nanoseconds: int) -> None:
        self._find_features()
        while self.ends and self.ends[0] <= nanoseconds:
            self.starts.popleft()
            self.ends.popleft()
            self._features.popleft()

    @property
    def mean_seconds(self) -> float:
        """Of one step; at least one is there."""
        return (sum(self.ends) - sum(self.starts)) / len(self.ends) * _SECONDS_PER_NANOSECOND

    def curve(self, origin: int) -> StepCurve:
        self._find_features()
        features = np.array(self._features, dtype=float).reshape(-1, FEATURES)
        return StepCurve(list(self.starts), list(self.ends), features, origin)

    def _find_features(self) -> None:
        self._features.extend(step_features(self._works))
        self._works.clear()


class MeterCalibration:
    """Learns from the windows and steps of one meter.

    Args:
        idle_watts: P_idle as configured, W; used until it was seen.
        least_windows: busy windows that step costs need to replace their prior.

    The lag is found here unless the meter accounts for it itself, which `learn` is told. Windows in which
    more than one model ran teach none of them.
    """

    def __init__(self, idle_watts: float, least_windows: int = MIN_WINDOWS) -> None:
        self.idle, self._least_windows = IdlePower(idle_watts), least_windows
        self.models: dict[str, StepCalibration] = {}
        self.lag = CounterLag()
        self._windows: deque[tuple[int, int, int]] = deque()
        self._steps: dict[str, _Steps] = {}
        self._lag_found = 0
        self._lag_pause = _MIN_LAG_PAUSE_NANOSECONDS

    def prepare(self, model_id: str, prior: StepCoefficients, conditions: str) -> bool:
        """Sets a model's prior, and what its costs hold for; returns whether that made it begin anew."""
        known = self.models.get(model_id)
        if known is not None and known.conditions == conditions:
            known.prior = prior
            return False
        self.models[model_id] = StepCalibration(prior, conditions, least_windows=self._least_windows)
        return known is not None

    def add_step(self, model_id: str, step: Step) -> None:
        """Takes a step of a prepared model."""
        self._steps.setdefault(model_id, _Steps()).add(step)

    def add_window(self, window: Window) -> None:
        """Takes a window as it was closed: already shifted by the lag."""
        lag = self.lag.nanoseconds
        start, end = window.start_nanoseconds + lag, window.end_nanoseconds + lag
        self._windows.append((start, end, window.energy_microjoules))

    def restart(self) -> None:
        """The clock began anew: what waits to be learned is dropped, what was learned stays."""
        self._windows.clear()
        self._steps.clear()
        self._lag_found = 0

    def learn(self, complete_until_nanoseconds: float, lag_is_given: bool) -> bool:
        """Learns from a batch of windows, if there is one whose steps are known up to that time."""
        if lag_is_given and self.lag.windows:
            self.lag = CounterLag()
        if len(self._windows) < BATCH_WINDOWS:
            return False
        ready = [w for w in self._windows if w[1] <= complete_until_nanoseconds]
        if len(ready) < BATCH_WINDOWS:
            return False
        for _ in ready:
            self._windows.popleft()
        self._learn(ready, lag_is_given)
        earliest = self._windows[0][0] if self._windows else ready[-1][1]
        for steps in self._steps.values():
            steps.forget_before(earliest - MAX_LAG_NANOSECONDS)
        return True

    def _learn(self, windows: Sequence[tuple[int, int, int]], lag_is_given: bool) -> None:
        starts, ends, energies = ([w[i] for w in windows] for i in range(3))
        joules = np.array(energies) * _JOULES_PER_MICROJOULE
        seconds = (
            np.array([end - start for start, end in zip(starts, ends, strict=True)]) * _SECONDS_PER_NANOSECOND
        )
        curves = {model_id: steps.curve(starts[0]) for model_id, steps in self._steps.items()}
        # Once it is known, the lag is looked at again from time to time.
        if not lag_is_given and (not self.lag.is_known or starts[0] >= self._lag_found + self._lag_pause):
            if self.lag.is_known:
                self._lag_pause = min(2 * self._lag_pause, _MAX_LAG_PAUSE_NANOSECONDS)
            self._lag_found = starts[0]
            self._find_lag(curves, (starts, ends), joules, seconds)
        if not lag_is_given and not self.lag.is_known:
            return
        lag = float(self.lag.nanoseconds)
        features = {model_id: curve.between(starts, ends, lag) for model_id, curve in curves.items()}
        active = {model_id: rows[:, F_FEATURE] > LEAST_STEPS for model_id, rows in features.items()}
        count = sum(active.values(), np.zeros(len(joules), dtype=int))
        # A window beside an active one may hold some of its energy.
        quiet = np.convolve(count > 0, np.ones(3), mode="same") == 0
        self.idle.observe(joules[quiet], seconds[quiet])
        for model_id, rows in features.items():
            alone = count == active[model_id]
            if active[model_id][alone].any():
                above_idle = joules[alone] - self.idle.watts * seconds[alone]
                self.models[model_id].observe(rows[alone], above_idle)
                self.models[model_id].step_seconds = self._steps[model_id].mean_seconds

    def _find_lag(
        self,
        curves: Mapping[str, StepCurve],
        edges: tuple[Sequence[int], Sequence[int]],
        joules: Array,
        seconds: Array,
    ) -> None:
        """Compares at every candidate lag what the windows took with what the steps did inside."""
        own = [curve.only(COEFFICIENTS) for curve in curves.values()]
        misfits = []
        for lag in LAGS_NANOSECONDS:
            done = [curve.between(*edges, float(lag)) for curve in own]
            misfits.append(misfit(joules, np.column_stack([seconds, *done])))
        before = self.lag.nanoseconds
        if min(misfits) < max(misfits):
            self.lag.add(np.array(misfits), len(joules))
        if abs(self.lag.nanoseconds - before) > _FAR_NANOSECONDS:
            self._lag_pause = _MIN_LAG_PAUSE_NANOSECONDS
            for model in self.models.values():
                model.forget()

    def step_laws(self) -> dict[str, StepLaw]:
        """What a step of each calibrated model costs."""
        laws = {model_id: model.step_law(self.idle.watts) for model_id, model in self.models.items()}
        return {model_id: law for model_id, law in laws.items() if law is not None}

    def to_state(self) -> dict[str, Any]:
        """What was learned, as JSON values; `step_laws` is for others to read and follows from the rest."""
        return {
            "step_laws": {model_id: asdict(law) for model_id, law in self.step_laws().items()},
            "idle": self.idle.to_state(),
            "lag": self.lag.to_state(),
            "models": {model_id: model.to_state() for model_id, model in self.models.items()},
        }

    def load(self, state: Mapping[str, Any], priors: Mapping[str, StepCoefficients]) -> None:
        """Goes on from `to_state`; models without a prior are left out.

        Raises ValueError, KeyError or TypeError for what was never written, and changes nothing then.
        """
        models = {
            model_id: StepCalibration.from_state(priors[model_id], model)
            for model_id, model in state["models"].items()
            if model_id in priors
        }
        idle = IdlePower.from_state(self.idle.configured_watts, state["idle"])
        lag = CounterLag.from_state(state["lag"])
        for model_id, model in models.items():
            model.least_windows = self._least_windows
            known = self.models.get(model_id)
            if known is None or (known.windows < model.windows and known.conditions == model.conditions):
                self.models[model_id] = model
        self.idle = max(self.idle, idle, key=lambda idle: idle.windows)
        self.lag = max(self.lag, lag, key=lambda lag: lag.windows)
