"""The console that commands print to."""

from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 140
"""Columns where output goes to a file or a pipe, so that tables keep their cells on one line."""


def command_console() -> Console:
    """Standard output, as wide as the terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)
