"""Tables for the terminal that several commands print."""

from collections.abc import Sequence

from rich.table import Table


def texts_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of texts, which are folded where the terminal is narrow."""
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
