"""Where the profiles of `messplus profile` come from: exactly one of files, a worker, an endpoint, models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.failure import config_error
from cli.options import chosen_zoo
from cli.profile.job import load_profiles
from cli.profile.live import LivePlan, LiveProfile
from cli.settings import read_cli_settings
from planner.runtime.profile import Profile


@dataclass(frozen=True, slots=True)
class Source:
    """Options as they were given; see `messplus profile --help`."""

    files: Sequence[Path]
    models: Sequence[str]
    worker: str | None
    endpoint: str | None
    energy: str | None
    zoo: Path | None


def profiles_of(source: Source, plan: LivePlan, console: Console) -> list[Profile]:
    """Reads or measures them. Raises ConfigError where the options do not fit together, and CommandError."""
    if source.files and not (source.worker or source.endpoint):
        return load_profiles(source.files, source.models, denoised=plan.denoised)
    _check(source, plan)
    live = LiveProfile(plan, console)
    if source.worker:
        return live.of_worker(source.worker, source.energy)
    if source.endpoint:
        api_key = read_cli_settings().endpoint_api_key.get_secret_value()
        return live.of_endpoint(source.endpoint, source.models[0], api_key)
    return live.of_models(source.models, chosen_zoo(source.zoo)[1])


def _check(source: Source, plan: LivePlan) -> None:
    """Raises ConfigError that names the option which does not fit."""
    given = {"--from": source.files, "--worker": source.worker, "--endpoint": source.endpoint}
    named = [option for option, value in given.items() if value]
    if len(named) > 1:
        raise config_error("profile", ", ".join(named), "given together", "only one of them")
    if source.worker and source.models:
        raise config_error(
            "profile", "--model", source.models[0], "a worker says itself what it runs: use --name"
        )
    if not source.worker and not source.models:
        allowed = "a model to measure, or --worker, or --from with profiles or timed requests"
        raise config_error("profile", "--model", "not given", allowed)
    if source.energy and not source.worker:
        raise config_error("profile", "--energy", source.energy, "goes with --worker")
    if len(source.models) > 1 and (plan.save or plan.name or source.endpoint):
        option = "--save" if plan.save else "--name" if plan.name else "--endpoint"
        raise config_error("profile", option, f"{len(source.models)} models", f"one --model with {option}")
    for option, values in (
        ("--prompt-lengths", plan.grid.prompt_tokens),
        ("--output-lengths", plan.grid.output_tokens),
    ):
        if len(values) < 2:
            raise config_error("profile", option, ",".join(map(str, values)), "two different lengths or more")
