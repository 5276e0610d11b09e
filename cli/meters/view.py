"""The table and the JSON of `messplus meters`."""

import json
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.meters.survey import FoundMeter

_MILLISECONDS_PER_SECOND = 1000
_COLUMNS = ("energy.meter", "id", "available", "quality", "update", "lag", "power", "notes")


def meters_view(found: Sequence[FoundMeter], zoo: str) -> RenderableType:
    """A row per meter, best kinds first; the one that the zoo uses is marked."""
    table = Table(title="Meters of this machine", title_justify="left", box=None, pad_edge=False)
    for heading in _COLUMNS:
        table.add_column(heading, overflow="fold")
    for meter in found:
        table.add_row(
            Text(f"{meter.setting}{' *' if meter.is_in_use else ''}"),
            Text(meter.meter_id or "-"),
            "[red]no[/]" if meter.reason else "[green]yes[/]",
            meter.quality,
            _milliseconds(meter.observed.update_period_seconds),
            _milliseconds(meter.observed.lag_seconds),
            "-" if meter.power_watts is None else f"{meter.power_watts:.1f} W",
            Text(_notes(meter)),
        )
    return Group(table, "", Text(f"* what {zoo} uses (energy.meter)"))


def meters_json(found: Sequence[FoundMeter]) -> str:
    """The same as a JSON list; null where something is not known."""
    return json.dumps([_document(meter) for meter in found], indent=2)


def _document(meter: FoundMeter) -> dict[str, object]:
    return {
        "setting": meter.setting,
        "meter_id": meter.meter_id,
        "kind": meter.kind,
        "available": not meter.reason,
        "reason": meter.reason,
        "quality": meter.quality,
        "update_period_seconds": meter.observed.update_period_seconds,
        "lag_seconds": meter.observed.lag_seconds,
        "suspect": meter.observed.suspect,
        "unknown_windows": dict(meter.observed.unknown_windows),
        "power_watts": meter.power_watts,
        "detail": meter.detail,
        "in_use": meter.is_in_use,
    }


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * _MILLISECONDS_PER_SECOND:.0f} ms"


def _notes(meter: FoundMeter) -> str:
    unknown = ", ".join(f"{count} {reason}" for reason, count in meter.observed.unknown_windows.items())
    parts = (
        meter.detail,
        meter.reason,
        f"SUSPECT: {meter.observed.suspect}" if meter.observed.suspect else "",
        f"unknown windows: {unknown}" if unknown else "",
    )
    return "; ".join(part for part in parts if part)
