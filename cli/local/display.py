"""What people see of a local system while it starts, runs and stops."""

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.local.data_directory import DataDirectory
from cli.local.supervisor import State, Supervised, Supervisor

_STYLES = {
    State.WAITING: "dim",
    State.STARTING: "yellow",
    State.READY: "green",
    State.RESTARTING: "bold red",
    State.STOPPING: "yellow",
    State.STOPPED: "dim",
}


class SystemDisplay:
    """A live table of the services on a terminal while they start; a line per change elsewhere and later."""

    def __init__(self, console: Console, data: DataDirectory) -> None:
        self._console, self._data = console, data
        self._live: Live | None = None

    def begin(self, supervisor: Supervisor) -> None:
        """Shows the table until `end`, where there is a terminal."""
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=lambda: services_table(supervisor), refresh_per_second=8
            )
            self._live.start()

    def end(self) -> None:
        """Leaves the table as it is now."""
        if self._live:
            self._live.stop()
            self._live = None

    def on_change(self, service: Supervised) -> None:
        """Reports a change of state."""
        name, state = service.spec.name, service.state
        if self._live is None and state in (State.READY, State.RESTARTING, State.STOPPED):
            self._console.print(f"{name}: [{_STYLES[state]}]{state.value}[/]", highlight=False)
        if state is State.RESTARTING:
            self._console.print(f"{name} died; its log: {self._data.log_file(name)}", highlight=False)


def services_table(supervisor: Supervisor) -> Table:
    """The services with their state."""
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "address", "state", "process", "ready after"):
        table.add_column(heading, overflow="fold")
    for service in supervisor.services:
        seconds = service.ready_after_seconds
        table.add_row(
            service.spec.name,
            service.spec.address,
            f"[{_STYLES[service.state]}]{service.state.value}[/]",
            str(service.process.pid) if service.process else "",
            "" if seconds is None else f"{seconds:.1f} s",
        )
    return table
