"""Simulates an engine that serves continuous batches on a GPU, and the energy counter of that GPU."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bench.gpu_law import StepLaw, step_joules, true_shares
from services.core.energy_ledger import Reading
from services.core.steps import GenerationWork

__all__ = ["NANOSECONDS", "Counter", "Request", "Run", "SimulatedStep", "readings", "serve"]

NANOSECONDS = 1_000_000_000
_CHUNK_TOKENS = 2048


@dataclass(slots=True)
class Request:
    """A request as the engine sees it, and what it truly cost."""

    request_id: str
    arrival_seconds: float
    prompt_tokens: int
    output_tokens: int
    begin_seconds: float = 0.0
    end_seconds: float = 0.0
    true_joules: float = 0.0
    prolonging_joules: float = 0.0
    """What it cost if the time that it adds to a step is its own."""
    prefilled: int = 0
    decoded: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """What the engine reports of a step (tier A), and its true energy."""

    start_seconds: float
    end_seconds: float
    work: tuple[GenerationWork, ...]
    finished: frozenset[str]
    joules: float


@dataclass
class Run:
    """A simulated stretch of time."""

    requests: list[Request]
    steps: list[SimulatedStep]
    idle_watts: float

    @property
    def seconds(self) -> float:
        """When the last step ended."""
        return self.steps[-1].end_seconds


def serve(law: StepLaw, requests_per_second: float, count: int, random: np.random.Generator) -> Run:
    """Poisson arrivals of `count` requests, log-normal lengths, admitted between steps, prompts in chunks."""
    arrivals = np.cumsum(random.exponential(1 / requests_per_second, count))
    prompts = np.clip(random.lognormal(np.log(250), 1.0, count), 8, 4096).astype(int)
    outputs = np.clip(random.lognormal(np.log(150), 0.8, count), 4, 1024).astype(int)
    requests = [
        Request(f"r{i}", float(a), int(p), int(o))
        for i, (a, p, o) in enumerate(zip(arrivals, prompts, outputs, strict=True))
    ]
    engine = _Engine(law, requests, random)
    return Run(requests, list(engine.steps()), law.idle_watts)


@dataclass
class _Engine:
    law: StepLaw
    requests: list[Request]
    random: np.random.Generator
    drift: float = 0.0
    running: list[Request] = field(default_factory=list)

    def steps(self) -> Iterator[SimulatedStep]:
        waiting, now = deque(self.requests), 0.0
        while waiting or self.running:
            if not self.running:
                now = max(now, waiting[0].arrival_seconds)
            while waiting and waiting[0].arrival_seconds <= now:
                self.running.append(waiting.popleft())
            step = self._step(now)
            now = step.end_seconds
            yield step

    def _step(self, now: float) -> SimulatedStep:
        active, work = self._schedule()
        decoding = sum(w.decode_tokens > 0 for w in work)
        # Launching varies; now and then the host is late.
        late = self.random.exponential(4e-4) + (5e-3 if self.random.random() < 0.01 else 0.0)
        seconds = self.law.seconds(sum(w.prefill_tokens for w in work), decoding) + late
        factor, idle = self._factor(seconds), self.law.idle_watts
        shares, causing = true_shares(self.law, work), true_shares(self.law, work, prolonging=True)
        for request, share, own_share in zip(active, shares, causing, strict=True):
            request.true_joules += share * factor + idle * seconds / len(active)
            request.prolonging_joules += share * (factor - 1) + own_share + idle * late / len(active)
            request.begin_seconds = request.begin_seconds or now
            request.end_seconds = now + seconds
        joules = step_joules(self.law, work) * factor + idle * seconds
        finished = frozenset(r.request_id for r in active if r.decoded >= r.output_tokens)
        self.running = [r for r in self.running if r.request_id not in finished]
        return SimulatedStep(now, now + seconds, work, finished, joules)

    def _schedule(self) -> tuple[list[Request], tuple[GenerationWork, ...]]:
        """Everyone who decodes gets a token; prompts fill what is left of the chunk."""
        active, work, room = [], [], _CHUNK_TOKENS
        for request in self.running:
            left = request.prompt_tokens - request.prefilled
            tokens = min(left, room)
            if left and not tokens:
                continue
            room -= tokens
            request.prefilled += tokens
            # The step that completes a prompt yields its first token.
            decoded = int(request.prefilled == request.prompt_tokens)
            request.decoded += decoded
            context = request.prefilled + request.decoded - decoded
            active.append(request)
            work.append(GenerationWork(request.request_id, tokens, decoded, context))
        return active, tuple(work)

    def _factor(self, seconds: float) -> float:
        """z: 2 % of slow drift (a minute) and 3 % of noise per step."""
        keep = np.exp(-seconds / 60)
        self.drift = keep * self.drift + np.sqrt(1 - keep * keep) * self.random.normal(0, 0.02)
        return float(max(0.1, 1 + self.drift + self.random.normal(0, 0.03)))


class Counter:
    """The GPU's cumulative counter: shows, at each update, the energy up to `lag` before it, with noise.

    Args:
        run: what happened.
        period_seconds: time between updates, which also jitter by a millisecond.
        lag_seconds: how old the energy is that an update shows.
        random: of the noise: 1 % of an update's energy plus 0.05 J; the resolution is a millijoule.

    """

    def __init__(
        self, run: Run, period_seconds: float, lag_seconds: float, random: np.random.Generator
    ) -> None:
        end = run.seconds + 1 + lag_seconds
        updates = np.arange(random.uniform(0, period_seconds), end, period_seconds)
        self.updates = np.maximum.accumulate(updates + random.normal(0, 1e-3, len(updates)).clip(-5e-3, 5e-3))
        energy = _cumulative(run, self.updates - lag_seconds)
        rises = np.diff(energy, prepend=0.0)
        rises += random.normal(0, 1, len(rises)) * np.hypot(0.01 * rises, 0.05)
        self.millijoules = np.round(np.cumsum(rises.clip(0)) * 1000).astype(int)

    def at(self, seconds: float) -> int:
        """What the counter shows, mJ."""
        seen = bisect_right(self.updates, seconds)
        return int(self.millijoules[seen - 1]) if seen else 0


def _cumulative(run: Run, times: np.ndarray) -> np.ndarray:
    """Joules from 0 to each time; idle power where no step runs."""
    points, joules = [-1.0, 0.0], [0.0, 0.0]
    for step in run.steps:
        idle = run.idle_watts * (step.start_seconds - points[-1])
        points += [step.start_seconds, step.end_seconds]
        joules += [joules[-1] + idle, joules[-1] + idle + step.joules]
    points.append(points[-1] + 3600)
    joules.append(joules[-1] + 3600 * run.idle_watts)
    return np.interp(times, points, joules)


def readings(
    counter: Counter, until: float, poll_seconds: float, random: np.random.Generator
) -> list[Reading]:
    """What a sampler sees that polls the counter: a reading whenever it changed."""
    seen, shown, now = [], -1, 0.0
    while now < until:
        now += poll_seconds + random.exponential(3e-4)
        value = counter.at(now)
        if value != shown:
            seen.append(Reading(round(now * NANOSECONDS), value * 1000))
            shown = value
    return seen
