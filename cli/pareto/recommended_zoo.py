"""A zoo file with the replicas and the batch cap that a sweep recommends; the original stays as it is."""

from pathlib import Path
from typing import Any

import yaml

from cli.failure import config_error
from cli.local.ports import split_address
from cli.pareto.zoo_text import Edit, edited
from cli.written_files import write_whole
from planner.pareto.study import Study
from planner.pareto.sweep import Configuration
from services.common.zoo import Zoo
from services.common.zoo_file import anchor_profiles, load_zoo, parse_zoo


def write_recommended(study: Study, zoo_file: Path, out: Path) -> str:
    """Writes `zoo_file` with what is recommended to `out`, comments kept where its layout allows.

    Returns a line that says so. Raises ConfigError where nothing, or more than one thing, is recommended,
    where the zoo does not have the model, and where `out` is there already.
    """
    if out.exists():
        raise config_error("pareto", "--write-zoo", out, "is there already: choose another file")
    configuration = _recommended(study)
    zoo = load_zoo(zoo_file)
    if configuration.model not in zoo.model_ids:
        allowed = f"{zoo_file} has no such model: {', '.join(zoo.model_ids)}"
        raise config_error("pareto", "--write-zoo", configuration.model, allowed)
    text, kept = zoo_with(zoo_file, zoo, configuration)
    write_whole(out, text)
    lost = "" if kept else " Its layout could not be kept, so its comments are lost."
    return (
        f"Zoo with workers of {configuration.model}: {configuration.replicas}, max_batch_size: "
        f"{configuration.batch}: {out.absolute()}.{lost}"
    )


def zoo_with(zoo_file: Path, zoo: Zoo, configuration: Configuration) -> tuple[str, bool]:
    """A zoo file's text with these workers and this cap, and whether its layout is as it was.

    Profiles that it names relative to itself are named by their absolute paths: the text goes elsewhere.
    """
    text = zoo_file.read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    anchor_profiles(data, zoo_file.parent)
    cap = {"max_batch_size": configuration.batch}
    model = next(m for m in data["models"] if m["id"] == configuration.model)
    workers = [w for w in data["workers"] if w["model"] == configuration.model]
    others = [w for w in data["workers"] if w["model"] != configuration.model]
    kept = workers[: configuration.replicas]
    addresses = _new_addresses(zoo, kept[-1]["address"], configuration.replicas - len(kept))
    added = [kept[-1] | {"address": address} for address in addresses]
    model |= cap
    wanted = parse_zoo(data | {"workers": [*others, *kept, *added]}, "recommended zoo")
    surplus, folder = len(workers) - len(kept), zoo_file.parent.absolute()
    draft = edited(text, Edit(configuration.model, configuration.batch, surplus, added, folder))
    if draft is not None and _same(yaml.safe_load(draft), wanted):
        return draft, True
    written = wanted.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(written, sort_keys=False), False


def _same(data: Any, wanted: Zoo) -> bool:
    """Whether an edited file says what is wanted; the order of workers does not matter."""

    def key(zoo: Zoo) -> tuple[Zoo, list[str]]:
        return zoo.model_copy(update={"workers": ()}), sorted(map(repr, zoo.workers))

    return key(parse_zoo(data, "recommended zoo")) == key(wanted)


def _new_addresses(zoo: Zoo, first: str, count: int) -> list[str]:
    """Addresses on the host of an existing worker, on the next ports that the zoo does not use."""
    used = {
        *zoo.router_addresses,
        zoo.feedback_address,
        zoo.energy.address,
        *(worker.address for worker in zoo.workers),
    }
    host, _, _ = first.rpartition(":")
    port, found = split_address(first)[1], list[str]()
    while len(found) < count:
        port += 1
        if f"{host}:{port}" not in used:
            found.append(f"{host}:{port}")
    return found


def _recommended(study: Study) -> Configuration:
    """The one recommendation of a study. Raises ConfigError."""
    if len(study.experiments) > 1:
        names = ", ".join(f"{found.model} in {found.group}" for found in study.experiments)
        raise config_error("pareto", "--write-zoo", names, "one of them: choose with --model and --group")
    chosen = study.experiments[0].recommendation.chosen
    if chosen is None:
        reasons = "; ".join(study.experiments[0].recommendation.reasons)
        raise config_error("pareto", "--write-zoo", "nothing is recommended", reasons)
    return chosen.configuration
