"""Attributed joules per model and kind of prompt, for the terminal and the page."""

from collections.abc import Iterator, Sequence
from html import escape

from rich.table import Table
from rich.text import Text

from cli.demo.spent import RunEnergy, Spending, by_kind, by_model
from cli.demo.verdict import joules

TITLE = "Attributed joules per generation, by kind of prompt and model"
NOTE = "In brackets how many; explored and failed generations count."
NOTE_UNCERTAINTY = "±: mean half-width of the 95 % intervals, where step costs were known."


def energy_table(energy: RunEnergy, models: Sequence[str]) -> Table:
    """A row per kind, a column per model; below what each model spent in all, and how that is known."""
    table = Table(title=TITLE, caption=note(energy))
    for number, column in enumerate(("kind", *models)):
        table.add_column(Text(column), justify="right" if number else "left", overflow="fold")
    for name, cells in energy_rows(energy, models):
        table.add_row(Text(name), *map(Text, cells), end_section=name == _last_kind(energy))
    return table


def energy_section(energy: RunEnergy, models: Sequence[str]) -> str:
    """The same as HTML."""
    head = "".join(f"<th>{escape(column)}</th>" for column in ("kind", *models))
    rows = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, cells in energy_rows(energy, models)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<h2>{TITLE}</h2><p>{note(energy)}</p><div class=scroll>{table}</div>"


def energy_rows(energy: RunEnergy, models: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Names and cells: the kinds by name, all of them together, then totals and their method."""
    for kind, spent in by_kind(energy, models).items():
        yield kind, [_mean(one) for one in spent]
    totals = by_model(energy, models)
    yield "all kinds", [_mean(one) for one in totals]
    yield "joules in all", [joules(one.joules) if one else "-" for one in totals]
    yield "method", ["; ".join(one.trust) if one else "-" for one in totals]


def note(energy: RunEnergy) -> str:
    """What the cells say."""
    has_uncertainty = any(g.figure.uncertainty_joules is not None for g in energy.generations)
    return f"{NOTE} {NOTE_UNCERTAINTY}" if has_uncertainty else NOTE


def _mean(spent: Spending | None) -> str:
    if spent is None:
        return "-"
    doubt = "" if spent.uncertainty_joules is None else f" ± {spent.uncertainty_joules:.2g}"
    return f"{joules(spent.mean_joules).removesuffix(' J')}{doubt} J ({spent.generations})"


def _last_kind(energy: RunEnergy) -> str:
    return max((generation.kind for generation in energy.generations), default="")
