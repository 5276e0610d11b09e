"""From tokens to steps: what the energy service needs to attribute joules to generations.

Engines that do not report their steps (tier B) show them by the arrival of tokens: a continuous batch
gives every active generation at most one piece of work per engine step, so a step ends where a
generation is heard of for the second time. Every step carries the CPU-seconds at its end; a report's
counter reading thus belongs to exactly the steps up to it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from threading import Lock


class StepTier(Enum):
    """How finely an engine tells what it does (docs/adr/0011-engines.md), by the letters of energy events."""

    TOKEN_TIMES = "B"  # noqa: S105 - no password
    """Every token as it comes."""
    REQUEST_TIMES = "C"
    """Pieces of text as they come, token counts at the end."""
    NONE = "D"
    """No counter shows what it does: joules can only be estimated from the token counts."""


MAX_PENDING_STEPS = 20_000
MAX_REPORT_WORK = 2000  # pieces of work, at worst each of another generation: well within one message


@dataclass(frozen=True, slots=True)
class SequenceWork:
    """What one step computed for one generation."""

    request_id: str
    generation_id: str
    traceparent: str
    prefill_tokens: int = 0
    decode_tokens: int = 0
    context_tokens: int = 0
    finished: bool = False
    """Whether this is the generation's last step."""


@dataclass(frozen=True, slots=True)
class Step:
    """An interval (monotonic ns, end > start), its work, and the process's CPU-seconds at its end."""

    start_nanoseconds: int
    end_nanoseconds: int
    work: tuple[SequenceWork, ...]
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class StepReport:
    """Steps since the last report, and the counter at a time that no later step begins before."""

    steps: tuple[Step, ...]
    monotonic_nanoseconds: int
    cpu_seconds: float
    warming_up: bool


class StepRecorder:
    """Collects steps from the engine's threads. Beyond a bound the oldest are dropped and counted."""

    def __init__(
        self,
        now_nanoseconds: Callable[[], int],
        cpu_seconds: Callable[[], float],
        max_pending_steps: int = MAX_PENDING_STEPS,
    ) -> None:
        self._now, self._cpu = now_nanoseconds, cpu_seconds
        self._lock = Lock()
        self._closed: deque[Step] = deque(maxlen=max_pending_steps)
        self._open: dict[str, SequenceWork] = {}
        self._start = self._end = now_nanoseconds()
        self._end_cpu = cpu_seconds()
        self._active = 0
        self.dropped_steps = 0

    @property
    def active(self) -> int:
        """Generations that have begun and not ended."""
        return self._active

    @property
    def has_steps(self) -> bool:
        """Whether there is any work to report."""
        return bool(self._closed or self._open)

    def begin(self, request_id: str, generation_id: str, traceparent: str = "") -> "SequenceMeter":
        """The engine starts on a generation."""
        with self._lock:
            if not self._active:
                self._start = self._end = max(self._now(), self._end)
                self._end_cpu = self._cpu()
            self._active += 1
        return SequenceMeter(self, SequenceWork(request_id, generation_id, traceparent))

    def record(self, work: SequenceWork) -> None:
        """A piece of work is done now."""
        with self._lock:
            if work.generation_id in self._open:
                self._close_step()
            self._put(work)

    def end(self, work: SequenceWork) -> None:
        """The engine has stopped on a generation; `work` is its identity."""
        with self._lock:
            last = self._open.get(work.generation_id)
            if last:
                self._open[work.generation_id] = replace(last, finished=True)
            else:
                self._put(replace(work, finished=True))
            self._active -= 1
            if not self._active:
                self._close_step()

    def take(self, warming_up: bool) -> StepReport:
        """Moves the oldest pending steps into a report, which ends where the step under way began."""
        with self._lock:
            self._close_step()
            steps = self._oldest_steps()
            if self._closed:
                end, cpu = steps[-1].end_nanoseconds, steps[-1].cpu_seconds
            elif self._active:
                end, cpu = self._end, self._end_cpu
            else:
                self._end = end = max(self._now(), self._end)
                cpu = self._cpu()
        return StepReport(tuple(steps), end, cpu, warming_up)

    def _oldest_steps(self) -> list[Step]:
        steps: list[Step] = []
        room = MAX_REPORT_WORK
        while self._closed and (not steps or room >= len(self._closed[0].work)):
            steps.append(self._closed.popleft())
            room -= len(steps[-1].work)
        return steps

    def _put(self, work: SequenceWork) -> None:
        self._open[work.generation_id] = work
        self._end = max(self._now(), self._start + 1, self._end)
        self._end_cpu = self._cpu()

    def _close_step(self) -> None:
        if not self._open:
            return
        if len(self._closed) == self._closed.maxlen:
            self.dropped_steps += 1
        self._closed.append(Step(self._start, self._end, tuple(self._open.values()), self._end_cpu))
        self._open.clear()
        self._start = self._end


class SequenceMeter:
    """The WorkMeter of one generation."""

    def __init__(self, recorder: StepRecorder, identity: SequenceWork) -> None:
        self._recorder, self._identity = recorder, identity

    def worked(self, prefill_tokens: int, decode_tokens: int, context_tokens: int) -> None:
        """See WorkMeter."""
        whose = self._identity
        self._recorder.record(
            SequenceWork(
                whose.request_id,
                whose.generation_id,
                whose.traceparent,
                prefill_tokens,
                decode_tokens,
                context_tokens,
            )
        )

    def ended(self) -> None:
        """The engine has stopped on this generation, for whatever reason."""
        self._recorder.end(self._identity)
