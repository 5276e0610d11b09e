"""The frame of a report: one HTML page that needs nothing else, and the parts that reports share."""

from collections.abc import Mapping, Sequence
from html import escape

from cli.demo.page import STYLE
from cli.picture import Picture, figure_html

_LONGEST_FIGURE = 30


def html_page(title: str, heading: str, sections: Sequence[str]) -> str:
    """A whole page; `sections` are HTML, title and heading plain text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(heading)}</h1>\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts; columns of words stand left."""
    columns = zip(*rows, strict=True) if rows else [()] * len(headings)
    kinds = [' class="words"' if _is_words(column) else "" for column in columns]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, headings, strict=True))
    body = "".join(f"<tr>{_cells(kinds, row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _is_words(column: Sequence[str]) -> bool:
    """Whether all begin with a letter, or one is long."""
    return all(cell[:1].isalpha() for cell in column) or max(map(len, column)) > _LONGEST_FIGURE


def _cells(kinds: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))


def html_section(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A heading with a table below it."""
    return f"<h2>{escape(title)}</h2>{html_table(headings, rows)}"


def html_pairs(title: str, pairs: Mapping[str, str]) -> str:
    """A heading with terms and what they mean."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items())
    return f"<h2>{escape(title)}</h2><dl>{rows}</dl>"


def html_notes(notes: Sequence[str]) -> str:
    """A paragraph per note."""
    return "".join(f"<p>{escape(note)}</p>" for note in notes)


def html_figures(light: Mapping[str, Picture], dark: Mapping[str, Picture]) -> str:
    """Every figure, for light and dark surroundings."""
    return "".join(figure_html(light[name], dark[name]) for name in light)
