"""`messplus status`: how a running system fares."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from cli.console import command_console
from cli.options import ZooOption, chosen_zoo
from cli.status.fetch import StatusClient
from cli.status.tables import status_view

WATCH_SECONDS = 1.0


def status(
    zoo: ZooOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it live until Ctrl-C.")] = False,
) -> None:
    """Show satisfaction against the target, energy, models and the learner of a running system.

    Examples:

      messplus status

      messplus status --zoo my-zoo.yaml --watch
    """
    _, settings = chosen_zoo(zoo)
    console = command_console()
    with StatusClient(settings) as client:
        if watch:
            _watch(client, console)
        else:
            console.print(status_view(client.fetch()))


def _watch(client: StatusClient, console: Console) -> None:
    with Live(status_view(client.fetch()), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(status_view(client.fetch()), refresh=True)
        except KeyboardInterrupt:
            return
