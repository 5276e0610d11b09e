"""Figures as PNG, drawn without a display, and how a page that needs nothing else shows them."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter

from cli.demo.theme import Theme, style

PALETTE = ("#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#0072B2", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's palette: told apart with every common colour blindness."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure."""

    title: str
    """The finding it shows."""
    png: bytes
    """The image, 1600 pixels wide."""


def drawn(draw: Callable[[Figure, Theme], str], theme: Theme, height_inches: float = 4.2) -> Picture:
    """A picture 8 inches wide; `draw` fills the figure and returns its title."""
    with matplotlib.rc_context(style(theme)):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = Figure(figsize=(8, height_inches), dpi=200, layout=layout)
        title = draw(figure, theme)
        figure.suptitle(title, x=0.015, ha="left", fontsize=13, fontweight="bold", color=theme.ink)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return Picture(title, buffer.getvalue())


def figure_html(light: Picture, dark: Picture) -> str:
    """A picture for light and dark surroundings, its image inside the page."""
    return (
        '<figure><picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="{_inlined(dark)}"><img alt="{escape(light.title)}" src="{_inlined(light)}">'
        "</picture></figure>"
    )


def as_percent(share: float, _position: float) -> str:
    """Tick label of a share."""
    return f"{share * 100:.0f} %"


def plain_log(axis: Axis) -> None:
    """Labels a logarithmic axis at 1, 2 and 5 with plain numbers: mathematical text is off."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _position: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def _inlined(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode('ascii')}"
