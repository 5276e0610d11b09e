"""The table and the JSON of `messplus energy`."""

import json
from typing import Any

from google.protobuf import json_format
from messplus.common.v1 import common_pb2
from messplus.energy.v1 import energy_service_pb2
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.common.footprint import Footprint

_COLUMNS = ("generation", "model", "joules", "prefill", "decode", "shared", "quality", "method", "tier")
_TIERS = {
    common_pb2.STEP_TIER_ENGINE_STEPS: ("A", "every engine step"),
    common_pb2.STEP_TIER_TOKEN_TIMES: ("B", "token times"),
    common_pb2.STEP_TIER_REQUEST_TIMES: ("C", "start, first token and end"),
    common_pb2.STEP_TIER_NONE: ("D", "no steps"),
}
_MEANINGS = {
    common_pb2.ENERGY_QUALITY_MEASURED: "MEASURED: from an energy counter, split between requests",
    common_pb2.ENERGY_QUALITY_MODELLED: "MODELLED: from CPU-seconds, times a configured power",
    common_pb2.ENERGY_QUALITY_ESTIMATED: "ESTIMATED: a part or all of it was not measured",
}


def energy_view(
    request_id: str, reply: energy_service_pb2.GetRequestEnergyResponse, footprint: Footprint
) -> RenderableType:
    """The generations of a request, what the words mean, and the configured multipliers below."""
    count = len(reply.generations)
    head = f"Request {request_id}: {_joules(reply.energy_joules)}"
    head += f" in {count} generation{'' if count == 1 else 's'}"
    return Group(
        Text(head), "", _table(reply), "", *_legend(reply), *_multiplied(reply.energy_joules, footprint)
    )


def energy_json(
    request_id: str, reply: energy_service_pb2.GetRequestEnergyResponse, footprint: Footprint
) -> str:
    """The service's answer, with the multiplied figures beside it; null where they are off."""
    answer = json_format.MessageToDict(
        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    document = {"request_id": request_id, **answer, **_multipliers(reply.energy_joules, footprint)}
    return json.dumps(document, indent=2)


def _table(reply: energy_service_pb2.GetRequestEnergyResponse) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in _COLUMNS:
        table.add_column(heading, overflow="fold")
    for one in reply.generations:
        table.add_row(
            Text(one.generation_id),
            Text(one.model_id),
            _with_uncertainty(one),
            f"{one.prefill_energy_joules:.4g}",
            f"{one.decode_energy_joules:.4g}",
            f"{one.shared_energy_joules:.4g}",
            common_pb2.EnergyQuality.Name(one.quality).removeprefix("ENERGY_QUALITY_"),
            Text(one.method),
            _TIERS.get(one.tier, ("-", ""))[0],
        )
    return table


def _with_uncertainty(one: common_pb2.GenerationEnergy) -> str:
    if not one.HasField("uncertainty_joules"):
        return f"{one.energy_joules:.4g}"
    return f"{one.energy_joules:.4g} ± {one.uncertainty_joules:.2g}"


def _legend(reply: energy_service_pb2.GetRequestEnergyResponse) -> list[Text]:
    """Only of the words that this table shows."""
    qualities = sorted({one.quality for one in reply.generations})
    tiers = sorted({one.tier for one in reply.generations if one.tier in _TIERS})
    lines = [_MEANINGS[quality] for quality in qualities if quality in _MEANINGS]
    lines += [f"tier {_TIERS[tier][0]}: the worker reported {_TIERS[tier][1]}" for tier in tiers]
    if any(one.HasField("uncertainty_joules") for one in reply.generations):
        lines.append("±: half-width of the 95 % interval")
    return [Text(line) for line in lines]


def _multiplied(joules: float, footprint: Footprint) -> list[Text]:
    lines = []
    if (facility := footprint.facility_joules(joules)) is not None:
        lines.append(f"Building: {_joules(facility)} (x PUE {footprint.pue:g}, configured)")
    if (grams := footprint.carbon_grams(joules)) is not None:
        factors = f"x {footprint.carbon_grams_per_kwh:g} g/kWh"
        factors += "" if footprint.pue is None else f", x PUE {footprint.pue:g}"
        lines.append(f"Carbon: {grams:.4g} gCO2e ({factors}, configured)")
    return [Text(""), *map(Text, lines)] if lines else []


def _multipliers(joules: float, footprint: Footprint) -> dict[str, Any]:
    facility, grams = footprint.facility_joules(joules), footprint.carbon_grams(joules)
    return {
        "facility": None if facility is None else {"pue": footprint.pue, "energy_joules": facility},
        "carbon": None
        if grams is None
        else {
            "grams_per_kwh": footprint.carbon_grams_per_kwh,
            "includes_pue": footprint.pue is not None,
            "emissions_grams": grams,
        },
    }


def _joules(joules: float) -> str:
    return f"{joules:.4g} J"
