"""`messplus meters`: what this machine can measure."""

from typing import Annotated

import typer
from rich.console import Console

from cli.console import command_console
from cli.meters.survey import survey
from cli.meters.view import meters_json, meters_view
from cli.options import ZooOption, chosen_zoo

DEFAULT_SECONDS = 6.0
SecondsOption = Annotated[
    float, typer.Option("--seconds", help="How long to watch the counters.", min=0.0, max=3600.0)
]


def meters(
    zoo: ZooOption = None,
    seconds: SecondsOption = DEFAULT_SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the energy meters of this machine, how good they are, and why others are not there.

    A zoo file chooses one kind as energy.meter: nvml (NVIDIA GPUs), rapl (CPU
    packages and their memory), cpu-process (CPU time times watts: a model that
    works everywhere) or replay (a recorded trace). UUIDs of GPUs go into
    workers[].device_ids, all of them for a tensor-parallel worker.

    Counters are watched for a while. [bold]update[/bold] is the mean time between two changes,
    [bold]lag[/bold] how far a GPU's counter is behind its power: run something on it, for
    an even power shows none. 10 % off the integrated power is SUSPECT.

    Examples:

      messplus meters --zoo my-zoo.yaml --seconds 30

      messplus meters --json | jq '.[] | select(.available) | .meter_id'
    """
    path, settings = chosen_zoo(zoo)
    with Console(stderr=True).status(f"Watching the counters for {seconds:g} s ..."):
        found = survey(settings.energy, seconds)
    if as_json:
        typer.echo(meters_json(found))
    else:
        command_console().print(meters_view(found, path.name))
