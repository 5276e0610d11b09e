"""Options that change nothing beside others: refused, for whoever types one expects it to matter."""

from collections.abc import Sequence

import typer

from services.core.errors import ConfigError, ConfigProblem

_TYPED = "COMMANDLINE"


def check_unused(context: typer.Context, parameters: Sequence[str], why: str) -> None:
    """Raises ConfigError that names each of these parameters of the command that was typed, and why not."""
    options = {option.name: option.opts[0] for option in context.command.params}
    problems = [
        ConfigProblem(str(context.info_name), options[name], _shown(context.params[name]), why)
        for name in parameters
        if (source := context.get_parameter_source(name)) is not None and source.name == _TYPED
    ]
    if problems:
        raise ConfigError(problems)


def _shown(value: object) -> str:
    """A value as it was typed, or nearly so."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
