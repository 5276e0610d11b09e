"""Colours of the figures in light and dark surroundings."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one appearance."""

    background: str
    """Behind everything."""
    ink: str
    """Titles and labels."""
    muted: str
    """Axes, grid, secondary text."""
    accent: str
    """The router."""
    rival: str
    """Contenders that reach the target."""
    faded: str
    """Contenders that miss the target."""
    alarm: str
    """The target and what falls short of it."""


LIGHT = Theme("#FFFFFF", "#1B1F24", "#6A737D", "#0072B2", "#8C959F", "#D8DEE4", "#D55E00")
"""For white paper and light pages; the PNG files use it."""
DARK = Theme("#161B22", "#E6EDF3", "#9198A1", "#56B4E9", "#768390", "#3D444D", "#F0883E")
"""For dark pages."""


def style(theme: Theme) -> Any:
    """Matplotlib settings of a theme; untyped because the stubs list the known keys of one version only."""
    return {
        "font.family": "DejaVu Sans",
        "font.size": 11,
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.muted,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": theme.faded,
        "grid.linewidth": 0.6,
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "text.parse_math": False,
    }
