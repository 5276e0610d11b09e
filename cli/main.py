"""The `messplus` command."""

from typing import Annotated

import typer

from cli.commands import models
from cli.commands.demo import demo
from cli.commands.energy import energy
from cli.commands.explain import explain
from cli.commands.meters import meters
from cli.commands.moe import moe
from cli.commands.pareto import pareto
from cli.commands.plan import plan
from cli.commands.profile import profile
from cli.commands.reload import reload
from cli.commands.replay import replay
from cli.commands.status import status
from cli.commands.up import up
from cli.failure import ReportingGroup

app = typer.Typer(
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


@app.callback()
def messplus(
    debug: Annotated[
        bool, typer.Option("--debug", hidden=True, help="Show the traceback of a failure.")
    ] = False,
) -> None:
    """Serve language models for the least energy at a promised quality.

    Start with [bold]messplus demo[/bold] (about ten minutes), or run the system
    with [bold]messplus up[/bold] and look at it with [bold]messplus status --watch[/bold].
    Ask why a request went to its model with [bold]messplus explain[/bold],
    and what it cost with [bold]messplus energy[/bold].
    See what this machine can measure with [bold]messplus meters[/bold].
    Try policies on recorded outcomes with [bold]messplus replay[/bold].
    Plan models and hardware with [bold]messplus profile[/bold],
    [bold]messplus pareto[/bold], [bold]messplus moe[/bold] and [bold]messplus plan[/bold].
    """


app.command()(up)
app.command()(demo)
app.command()(replay)
app.command()(profile)
app.command()(pareto)
app.command()(moe)
app.command()(plan)
app.command()(status)
app.command()(explain)
app.command()(energy)
app.command()(meters)
app.command()(reload)
app.add_typer(models.app, name="models")
