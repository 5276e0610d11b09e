"""`messplus up`: the whole system on this machine."""

import asyncio
import time
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from cli.console import command_console
from cli.local.data_directory import opened
from cli.local.display import SystemDisplay
from cli.local.plan import ServiceSpec, addresses, plan_system
from cli.local.ports import check_addresses, router_addresses
from cli.local.reload import Reload
from cli.local.session import run_system
from cli.local.supervisor import Supervisor
from cli.local.weights import pull_missing
from cli.options import DataDirOption, ZooOption, chosen_zoo, data_root
from cli.settings import read_cli_settings
from services.common.zoo import Zoo

MAX_ROUTERS = 64


def up(
    zoo: ZooOption = None,
    data_dir: DataDirOption = None,
    routers: Annotated[
        int,
        typer.Option(
            "--routers", min=1, max=MAX_ROUTERS, help="Router replicas; further ones take the next ports."
        ),
    ] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was learned, start empty.")] = False,
) -> None:
    """Run everything on this machine until Ctrl-C: store, workers, energy, feedback and router.

    Fetches models that are not here yet. Learned state and logs stay in the
    data directory and are used again by the next run. Edit the zoo file and run
    `messplus reload` to add, change and remove models and SLA classes meanwhile.

    Examples:

      messplus up

      messplus up --zoo my-zoo.yaml --routers 2

      messplus up --data-dir /srv/messplus --fresh
    """
    console = command_console()
    zoo_file, settings = chosen_zoo(zoo)
    places = _router_places(settings, routers)
    drain_seconds = read_cli_settings().drain_seconds
    with opened(data_root(data_dir, settings), fresh=fresh) as data:

        def plan(settings: Zoo) -> list[ServiceSpec]:
            return plan_system(settings, zoo_file, data, places, drain_seconds)

        specs = plan(settings)
        check_addresses(addresses(specs))
        pull_missing(settings, console)
        display = SystemDisplay(console, data)
        supervisor = Supervisor(specs, data, drain_seconds, display.on_change)
        reload = Reload(supervisor, data, zoo_file, settings, plan, partial(pull_missing, console=console))
        asyncio.run(_serve(supervisor, reload, display, console, places))
    console.print("Stopped. Nothing is left running.")


def _router_places(zoo: Zoo, count: int) -> tuple[str, ...]:
    taken = [zoo.feedback_address, zoo.energy.address, *(worker.address for worker in zoo.workers)]
    return router_addresses(zoo.router_addresses, count, taken)


async def _serve(
    supervisor: Supervisor,
    reload: Reload,
    display: SystemDisplay,
    console: Console,
    places: tuple[str, ...],
) -> None:
    began = time.monotonic()
    display.begin(supervisor)

    async def stay() -> None:
        display.end()
        console.print(f"Ready after {time.monotonic() - began:.1f} s. Router: {', '.join(places)}")
        console.print("See how it fares: messplus status --watch. Stop it: Ctrl-C.", highlight=False)
        await reload.follow(partial(console.print, highlight=False, markup=False))

    try:
        await run_system(supervisor, stay, on_hangup=reload.ask)
    finally:
        display.end()
