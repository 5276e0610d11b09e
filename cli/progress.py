"""A progress bar for work that is done in equal steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def progress(console: Console, title: str, total: int, shown_every: int = 1) -> Iterator[Callable[[], None]]:
    """A bar for `total` steps; yields what counts one. Away from a terminal nothing is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    done = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def advance() -> None:
            nonlocal done
            done += 1
            # Drawing may cost more than a step.
            if done % shown_every == 0:
                bar.update(task, completed=done)

        yield advance
