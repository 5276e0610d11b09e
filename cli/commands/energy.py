"""`messplus energy`: what a request cost."""

from typing import Annotated

import typer

from cli.console import command_console
from cli.energy.fetch import fetch_energy
from cli.energy.view import energy_json, energy_view
from cli.options import RequestIdArgument, ZooOption, chosen_zoo
from services.common.footprint import Footprint


def energy(
    request_id: RequestIdArgument,
    zoo: ZooOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the energy service's answer as JSON, multipliers beside it.")
    ] = False,
) -> None:
    """Show the joules of a request, generation by generation.

    Of every generation, explored and failed ones too: its joules (with the
    half-width of their 95 % interval where it is known), the parts that its
    prompt, its own tokens and the costs shared with others caused, and how far
    to trust them: quality, method (the meter) and tier (how finely the worker
    reported its steps).

    With energy.power_usage_effectiveness or energy.carbon_intensity_grams_per_kwh
    in the zoo file, the building's joules and gCO2e follow. Joules never contain them.

    Examples:

      messplus energy 3f1c0a9be2d44f0f8f6f1f0f2c9a7d51

      messplus energy my-request-17 --zoo my-zoo.yaml

      messplus energy my-request-17 --json | jq .energy_joules
    """
    _, settings = chosen_zoo(zoo)
    reply, footprint = fetch_energy(settings, request_id), Footprint.of(settings.energy)
    if as_json:
        typer.echo(energy_json(request_id, reply, footprint))
    else:
        command_console().print(energy_view(request_id, reply, footprint))
