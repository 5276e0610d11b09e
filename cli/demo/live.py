"""What people see while the demo measures: progress, and where the promise and the energy stand."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.demo.run_log import RunLog
from cli.status.tables import shares_text

_LINES_WITHOUT_TERMINAL = 10


class LiveView:
    """Progress of the two stages of a demo; on a terminal live, elsewhere a line now and then."""

    def __init__(self, console: Console, log: RunLog, min_satisfaction: float) -> None:
        self._console, self._log, self._min_satisfaction = console, log, min_satisfaction
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
        )
        self._done = 0

    @contextmanager
    def stage(self, title: str, total: int, *, routed: bool) -> Iterator[None]:
        """Shows a stage of `total` answers during the block, and where the run stands if it is `routed`."""
        self._routed = routed
        self._done, self._total = 0, total
        self._task = self._progress.add_task(title, total=total)
        if not self._console.is_terminal:
            self._console.print(f"{title}: {total} answers", highlight=False)
            yield
            return
        with Live(console=self._console, get_renderable=self._view, refresh_per_second=4):
            yield
        self._progress.remove_task(self._task)

    def advance(self) -> None:
        """One more answer came."""
        self._done += 1
        self._progress.advance(self._task)
        every = max(1, self._total // _LINES_WITHOUT_TERMINAL)
        if not self._console.is_terminal and self._done % every == 0:
            line = f"{self._done}/{self._total}" + (f"  {self.standing()}" if self._routed else "")
            self._console.print(line, highlight=False, markup=False)

    def standing(self) -> str:
        """Where the routed run stands, in one line."""
        log, labels = self._log, self._log.labels
        mean = f"{sum(labels) / len(labels):.3f}" if labels else "-"
        per_request = log.joules / log.decided if log.decided else 0.0
        return (
            f"satisfaction {mean} (target {self._min_satisfaction:.2f})  queue {log.virtual_queue:.2f}  "
            f"{per_request:.2f} J/request  {shares_text(log.shares())}"
        )

    def _view(self) -> Group:
        return Group(self._progress, Text(self.standing() if self._routed else ""))
