"""Policies by the names that a zoo file uses."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.core.policies.base import Policy
from services.core.policies.baselines import NoParameters, SingleModel, StaticMixture
from services.core.policies.messplus import (
    MessPlus2024,
    MessPlus2024Parameters,
    MessPlus2025,
    MessPlus2025Parameters,
)
from services.core.policies.pacer import Pacer
from services.core.policies.pacer_parameters import PacerParameters
from services.core.policies.parameters import NAME, PolicyConfigError, WrongField, parse
from services.core.policies.per_request import PerRequestEnergy

POLICY_NAMES = ("pacer", "messplus-2024", "messplus-2025", "static-mixture", "single:<model>")
"""What `policy_from_config` knows."""

_SINGLE = "single:"
_PUBLISHED = ("messplus-2024", "messplus-2025")
_ENERGY, _MEAN, _PER_REQUEST = "energy", "mean", "per-request"


def policy_from_config(name: str, parameters: Mapping[str, object], model_ids: Sequence[str]) -> Policy[Any]:
    """The policy of this name and parameters, for these models from smallest to largest.

    Raises PolicyConfigError with the wrong fields: the name, or parameters.
    """
    if name == "pacer":
        return Pacer(parse(PacerParameters, parameters))
    if name in _PUBLISHED:
        return _published(name, parameters)
    if name == "static-mixture":
        parse(NoParameters, parameters)
        return StaticMixture()
    if name.startswith(_SINGLE):
        parse(NoParameters, parameters)
        return _single(name, model_ids)
    raise _wrong_name(name, POLICY_NAMES)


def _published(name: str, parameters: Mapping[str, object]) -> Policy[Any]:
    """A published mode; its E_m(t) is each model's running mean unless `energy` says otherwise."""
    own = {key: value for key, value in parameters.items() if key != _ENERGY}
    inner: Policy[Any]
    if name == "messplus-2024":
        inner = MessPlus2024(parse(MessPlus2024Parameters, own))
    else:
        inner = MessPlus2025(parse(MessPlus2025Parameters, own))
    energy = parameters.get(_ENERGY, _MEAN)
    if energy not in (_MEAN, _PER_REQUEST):
        raise PolicyConfigError([WrongField(_ENERGY, energy, f"allowed: {_MEAN}, {_PER_REQUEST}")])
    return PerRequestEnergy(inner) if energy == _PER_REQUEST else inner


def _single(name: str, model_ids: Sequence[str]) -> SingleModel:
    model_id = name.removeprefix(_SINGLE)
    if model_id not in model_ids:
        raise _wrong_name(name, [_SINGLE + m for m in model_ids])
    return SingleModel(model_id, model_ids.index(model_id))


def _wrong_name(name: str, allowed: Sequence[str]) -> PolicyConfigError:
    return PolicyConfigError([WrongField(NAME, name, f"allowed: {', '.join(allowed)}")])
