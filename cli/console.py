"""The console that commands print to."""

from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 140
"""Columns where output goes to a file or a pipe, so that tables keep their cells on one line."""


def command_console(*, markup: bool = True) -> Console:
    """Standard output, as wide as the terminal.

    Without `markup` square brackets are printed as they are, in tables too: names from files may hold some.
    """
    console = Console(markup=markup)
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL, markup=markup)
