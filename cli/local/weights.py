"""The weights of a zoo's models: what is here, and fetching the rest with progress bars."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import TimeRemainingColumn as EtaColumn

from services.common.model_store import (
    ModelSpec,
    ModelStatus,
    ModelStore,
    ModelStoreSettings,
    PullEvent,
    PullPhase,
    resolve,
)
from services.common.model_store import Progress as Report
from services.common.zoo import Zoo
from services.core.errors import ConfigError, ConfigProblem


def model_store() -> ModelStore:
    """The store that the environment names."""
    return ModelStore.from_settings(ModelStoreSettings())


def zoo_weights(zoo: Zoo) -> dict[str, ModelSpec]:
    """Model id -> its weights, for every model that has some. Raises ConfigError with all unknown sources."""
    specs: dict[str, ModelSpec] = {}
    problems: list[ConfigProblem] = []
    for model in zoo.models:
        if not model.weights_in_store:
            continue
        try:
            specs[model.id] = resolve(model)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return specs


def pull_missing(zoo: Zoo, console: Console) -> None:
    """Fetches and verifies what is not here yet. Raises ModelStoreError saying what to do."""
    store = model_store()
    missing = [spec for spec in zoo_weights(zoo).values() if store.status(spec) is not ModelStatus.READY]
    if missing:
        for_each(missing, store.ensure, console)


def for_each(
    specs: Iterable[ModelSpec], act: Callable[[ModelSpec, Report], object], console: Console
) -> None:
    """Calls `act` (pull or verify) for every model, with a progress bar each."""
    with _bars(console) as report:
        for spec in specs:
            act(spec, report)


@contextmanager
def _bars(console: Console) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        EtaColumn(),
    )
    tasks: dict[tuple[str, str, PullPhase], TaskID] = {}
    with Progress(*columns, console=console) as progress:

        def report(event: PullEvent) -> None:
            if event.phase is PullPhase.FAILED:
                progress.console.print(f"{event.model}: {event.origin} failed: {event.detail}", markup=False)
            elif event.phase is PullPhase.WAITING:
                progress.console.print(f"{event.model}: {event.detail}", markup=False)
            elif event.phase in (PullPhase.DOWNLOADING, PullPhase.VERIFYING):
                key = (event.model, event.origin, event.phase)
                if key not in tasks:
                    tasks[key] = progress.add_task(f"{event.phase.value} {event.model}", total=None)
                progress.update(tasks[key], completed=event.done_bytes, total=event.total_bytes)

        yield report
