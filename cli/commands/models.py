"""`messplus models`: the weights of a zoo on this machine."""

import typer
from rich.table import Table

from cli.console import command_console
from cli.local.weights import for_each, model_store, zoo_weights
from cli.options import ZooOption, chosen_zoo
from services.common.model_store import ModelSpec, ModelStatus

app = typer.Typer(no_args_is_help=True, help="List, fetch and verify the weights of a zoo's models.")

_MEGABYTE = 1_000_000


@app.command("list")
def list_models(zoo: ZooOption = None) -> None:
    """Show which weights are here.

    Example: messplus models list --zoo my-zoo.yaml
    """
    _, settings = chosen_zoo(zoo)
    store, weights = model_store(), zoo_weights(settings)
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "weights", "size", "status", "sha256"):
        table.add_column(heading, overflow="fold")
    for model_id, spec in weights.items():
        table.add_row(
            model_id, spec.file_name, _size(spec), store.status(spec).value, spec.source.sha256[:12]
        )
    for model in settings.models:
        if model.id not in weights:
            table.add_row(model.id, f"(engine {model.engine}: none here)", "", ModelStatus.READY.value, "")
    console = command_console()
    console.print(table)
    console.print(f"Cache: {store.cache_dir}", highlight=False)


@app.command()
def pull(zoo: ZooOption = None) -> None:
    """Fetch the weights that are not here; a broken download goes on where it broke.

    Example: messplus models pull
    """
    _, settings = chosen_zoo(zoo)
    weights = zoo_weights(settings)
    console = command_console()
    for_each(weights.values(), model_store().ensure, console)
    console.print(f"{len(weights)} models are ready.")


@app.command()
def verify(zoo: ZooOption = None) -> None:
    """Read the weights again and compare their sha256; damaged ones are deleted and the exit status is 1.

    Example: messplus models verify
    """
    _, settings = chosen_zoo(zoo)
    weights = zoo_weights(settings)
    console = command_console()
    for_each(weights.values(), model_store().verify, console)
    console.print(f"{len(weights)} models are what their sha256 promises.")


def _size(spec: ModelSpec) -> str:
    size_bytes = spec.source.size_bytes
    return "" if size_bytes is None else f"{size_bytes / _MEGABYTE:,.0f} MB"
