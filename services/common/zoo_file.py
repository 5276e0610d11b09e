"""Reads a zoo file and reports every problem at once, each with its line, key, value and what is allowed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services.common.engine_checks import engine_problems
from services.common.learning import policy_of
from services.common.profile_prior import ProfileError, request_prior
from services.common.zoo import ModelSettings, Zoo
from services.core.errors import ConfigError, ConfigProblem
from services.core.policies.parameters import NAME, PolicyConfigError

Location = tuple[str | int, ...]
Problem = tuple[Location, str, str]
"""Location, value and what is allowed."""


def load_zoo(path: Path) -> Zoo:
    """Reads and checks a zoo file.

    Raises:
        ConfigError: with every problem of the file.

    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        problem = ConfigProblem(str(path), "file", str(path), f"cannot be read: {error.strerror}")
        raise ConfigError([problem]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError([ConfigProblem(where, "syntax", "", f"not valid YAML: {error}")]) from error
    anchor_profiles(data, path.parent)
    return parse_zoo(data, str(path), root)


def anchor_profiles(data: Any, folder: Path) -> None:
    """Makes the profiles that priors name relative to the folder of the zoo file."""
    models = data.get("models") if isinstance(data, dict) else None
    for model in models if isinstance(models, list) else ():
        prior = model.get("prior") if isinstance(model, dict) else None
        profile = prior.get("profile") if isinstance(prior, dict) else None
        if isinstance(profile, dict) and isinstance(profile.get("file"), str):
            profile["file"] = str(folder.absolute() / Path(profile["file"]).expanduser())


def parse_zoo(data: Any, origin: str, root: yaml.Node | None = None) -> Zoo:
    """Checks a zoo given as plain data; `root` gives line numbers to its problems."""
    if not isinstance(data, dict):
        found = "(empty)" if data is None else type(data).__name__
        raise ConfigError([ConfigProblem(f"{origin}:1", "file", found, "must be a mapping")])
    zoo, problems = None, []
    try:
        zoo = Zoo.model_validate(data)
    except ValidationError as error:
        problems = [_problem(e, origin, root) for e in _own_errors(error)]
    checks = (*_references(data), *(_cross_checks(zoo) if zoo else ()))
    problems += [
        ConfigProblem(f"{origin}:{_line(root, location)}", _key(location), value, allowed)
        for location, value, allowed in checks
    ]
    if zoo is None or problems:
        raise ConfigError(problems)
    return zoo


def _references(data: dict[str, Any]) -> Iterator[Problem]:
    """Names that repeat or that nothing bears; found also where other parts of the file are wrong."""
    models = [name for _, name in _named(data, "models", "id")]
    for section, key in (("models", "id"), ("sla_classes", "name")):
        seen: set[str] = set()
        for i, name in _named(data, section, key):
            if name in seen:
                yield (section, i, key), name, "must be unique"
            seen.add(name)
    for section, key in (("workers", "model"), ("sla_classes", "fallback_model")):
        for i, name in _named(data, section, key):
            if name not in models:
                yield (section, i, key), name, f"must be one of the models: {', '.join(models)}"


def _named(data: dict[str, Any], section: str, key: str) -> Iterator[tuple[int, str]]:
    """Index and value of `key` of every entry of a section that has one."""
    entries = data.get(section)
    for i, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            yield i, entry[key]


def _cross_checks(zoo: Zoo) -> Iterator[Problem]:
    """Problems that involve several settings."""
    for i, model in enumerate(zoo.models):
        try:
            request_prior(model)
        except ProfileError as error:
            yield ("models", i, "prior", "profile", "file"), _file_of(model), str(error)
    for i, sla_class in enumerate(zoo.sla_classes):
        if sla_class.labeler == "judge" and zoo.judge is None:
            yield ("sla_classes", i, "labeler"), "judge", "needs a judge section"
    yield from engine_problems(zoo)
    yield from _device_problems(zoo)
    yield from _address_clashes(zoo)
    yield from _policy_problems(zoo)


def _file_of(model: ModelSettings) -> str:
    return str(model.prior.profile.file) if model.prior.profile else ""


def _device_problems(zoo: Zoo) -> Iterator[Problem]:
    """Workers that name counters which the energy service does not read."""
    energy = zoo.energy
    for i, worker in enumerate(zoo.workers):
        for j, device_id in enumerate(worker.device_ids):
            place = ("workers", i, "device_ids", j)
            if not energy.has_devices:
                yield place, device_id, f"energy.meter {energy.meter} has no devices: leave device_ids empty"
            elif energy.devices and device_id not in energy.devices:
                yield place, device_id, f"must be one of energy.devices: {', '.join(energy.devices)}"


def _policy_problems(zoo: Zoo) -> Iterator[Problem]:
    if len(set(zoo.model_ids)) < len(zoo.models):
        return
    try:
        policy_of(zoo)
    except ProfileError:
        return  # named already
    except PolicyConfigError as error:
        for field, value, allowed in error.problems:
            place = (field,) if field == NAME else ("parameters", field)
            yield ("policy", *place), repr(value), allowed


def _address_clashes(zoo: Zoo) -> Iterator[Problem]:
    seen: set[str] = set()
    places: list[tuple[Location, str]] = [
        *((("router_addresses", i), address) for i, address in enumerate(zoo.router_addresses)),
        *((("workers", i, "address"), worker.address) for i, worker in enumerate(zoo.workers)),
        (("feedback_address",), zoo.feedback_address),
        (("energy", "address"), zoo.energy.address),
    ]
    for location, address in places:
        if address in seen:
            yield location, address, "every service needs an address of its own"
        seen.add(address)


def _own_errors(error: ValidationError) -> list[Any]:
    """The errors without those that others bring about.

    Those are a sequence that is "too short" because its items are wrong, and a mapping that is no string
    where both are possible.
    """
    found = error.errors()
    inner = {e["loc"][:length] for e in found for length in range(len(e["loc"]))}
    return [
        e
        for e in found
        if not (e["type"] == "too_short" and e["loc"] in inner)
        and not (e["type"] == "string_type" and e["loc"][-1] == "str" and isinstance(e["input"], dict))
    ]


def _problem(error: Any, origin: str, root: yaml.Node | None) -> ConfigProblem:
    location = tuple(part for part in error["loc"] if not _is_type_tag(part))
    value = error["input"]
    shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)
    if error["type"] == "missing":
        shown = "(missing)"
    return ConfigProblem(
        f"{origin}:{_line(root, location)}", _key(location), shown, error["msg"].removeprefix("Value error, ")
    )


def _is_type_tag(part: str | int) -> bool:
    """Whether a location part names a branch of a union instead of a key of the file."""
    return part in ("str", "int", "float", "bool") or "ModelSource" in str(part)


def _key(location: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "file"


def _line(root: yaml.Node | None, location: Location) -> int:
    """1-based line of the deepest part of `location` that the file has."""
    node, line = root, 1
    for part in location:
        child = _child(node, part)
        if child is None:
            break
        node, line = child
    return line


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child = node.value[part]
        return child, child.start_mark.line + 1
    return None
