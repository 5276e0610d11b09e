"""The zoo of a demo run: the chosen one on free ports, with what the command line changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from cli.demo.prompts import KINDS
from cli.demo.requests import IN_FLIGHT, MAX_TOKENS
from cli.local.ports import free_addresses
from services.common.profile_prior import request_prior
from services.common.zoo import ModelSettings, PolicySettings, PriorSettings, Zoo
from services.common.zoo_file import parse_zoo
from services.core.errors import ConfigError, ConfigProblem

_WEIGHT = "energy_weight"


def staged_zoo(zoo: Zoo, *, min_satisfaction: float | None, policy: str | None, cold: bool) -> Zoo:
    """The zoo on free ports of loopback, with a target and a policy of its own, without priors if `cold`.

    Raises ConfigError for a target outside (0, 1) or a policy that does not exist or lacks its priors.
    """
    data = zoo.model_dump(mode="json", exclude_unset=True) | _places(zoo)
    first = zoo.sla_classes[0].model_dump(mode="json")
    if min_satisfaction is not None:
        first["min_satisfaction"] = min_satisfaction
    data["sla_classes"] = [first]
    data["policy"] = _policy(zoo.policy, policy).model_dump(mode="json")
    if cold:
        data["models"] = [_without_prior(model) for model in zoo.models]
    try:
        return parse_zoo(data, "demo")
    except ConfigError as error:
        problems = [_of_option(problem, min_satisfaction, policy) for problem in error.problems]
        raise ConfigError(problems) from None


def write_zoo(zoo: Zoo, path: Path) -> None:
    """Writes a zoo file that `load_zoo` reads back as `zoo`."""
    data = zoo.model_dump(mode="json", exclude_unset=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def run_settings(zoo: Zoo, prompts: int, seed: int) -> dict[str, str]:
    """What a run measures and from what it starts, for people: name -> value."""
    parameters = ", ".join(f"{name} {value}" for name, value in zoo.policy.parameters.items())
    return {
        "prompts": f"{prompts} of {min(prompts, len(KINDS))} kinds, seed {seed}",
        "models": ", ".join(zoo.model_ids),
        "policy": zoo.policy.name + (f" ({parameters})" if parameters else ""),
        "target": f"{zoo.sla_classes[0].min_satisfaction:g} mean satisfaction",
        "start": _start(zoo),
        "load": f"{IN_FLIGHT} requests in flight, at most {MAX_TOKENS} tokens each, temperature 0",
        "energy": _energy(zoo),
    }


def _start(zoo: Zoo) -> str:
    if all(m.prior == PriorSettings() for m in zoo.models):
        return "cold: nothing is known of the models beforehand"
    profiles = sorted({m.prior.profile.file.name for m in zoo.models if m.prior.profile})
    if not profiles:
        return "from the zoo's priors: rough mean satisfaction and joules of each model"
    joules = ", ".join(f"{prior.energy_joules:.3g}" for prior in map(request_prior, zoo.models))
    return (
        "from the zoo's priors: rough mean satisfaction of each model, and joules of its typical request, "
        f"{joules} J, from stored profiles ({', '.join(profiles)})"
    )


def _energy(zoo: Zoo) -> str:
    if zoo.energy.meter == "replay":
        return f"replayed from {zoo.energy.replay_file}"
    if zoo.energy.has_devices:
        how = f"MEASURED: {zoo.energy.meter} counters, split between requests"
    else:
        how = f"MODELLED: CPU-seconds of each worker times {zoo.energy.watts_per_core:g} W per core"
    return f"{how}; idle {zoo.energy.idle_watts_per_worker:g} W per loaded model"


def _of_option(problem: ConfigProblem, min_satisfaction: float | None, policy: str | None) -> ConfigProblem:
    """A problem of the staged zoo as one of the option that brought it, where one did."""
    if problem.key == "sla_classes[0].min_satisfaction":
        allowed = "must be between 0 and 1, both excluded"
        return ConfigProblem("demo", "--min-satisfaction", str(min_satisfaction), allowed)
    if problem.key == "policy.name" and policy:
        return ConfigProblem("demo", "--policy", policy, problem.allowed)
    return replace(problem, location="demo")


def _places(zoo: Zoo) -> dict[str, Any]:
    router, feedback, energy, *workers = free_addresses(3 + len(zoo.workers))
    return {
        "router_addresses": [router],
        "feedback_address": feedback,
        "energy": zoo.energy.model_dump(mode="json") | {"address": energy},
        "workers": [
            worker.model_dump(mode="json", exclude_unset=True) | {"address": place}
            for worker, place in zip(zoo.workers, workers, strict=True)
        ],
    }


def _policy(configured: PolicySettings, name: str | None) -> PolicySettings:
    """Another policy keeps only V of the parameters: it belongs to the zoo's joules, not to a policy."""
    if name is None or name == configured.name:
        return configured
    takes_weight = name.startswith("messplus-") and _WEIGHT in configured.parameters
    kept = {_WEIGHT: configured.parameters[_WEIGHT]} if takes_weight else {}
    return PolicySettings(name=name, parameters=kept)


def _without_prior(model: ModelSettings) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_unset=True) | {
        "prior": PriorSettings().model_dump(mode="json")
    }
