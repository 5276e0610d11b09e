"""The environment of the command line: the only module of `cli` that reads it."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cli.threads import set_for_this_process
from services.core.errors import ConfigError, ConfigProblem

_OF_ONE_PROCESS = frozenset(
    f"MESSPLUS_{name}"
    for name in (
        "ADDRESS",
        "DATA",
        "ENERGY_LISTEN",
        "INSTANCE_ID",
        "LEARNER_ID",
        "MODEL",
        "REDIS_URL",
        "ZOO_FILE",
    )
)


class CliSettings(BaseSettings):
    """What the command takes from variables named `MESSPLUS_*`; options on the command line go first.

    Attributes:
        zoo_file: the zoo; default: the embedded one.
        data: root of the data directories, one per zoo.
        debug: show the traceback of a failure.
        drain_seconds: how long a stopping service waits for running calls.
        endpoint_api_key: of the endpoint that `messplus profile` measures; empty where it needs none.

    """

    model_config = SettingsConfigDict(env_prefix="MESSPLUS_", extra="ignore", frozen=True)

    zoo_file: Path | None = None
    data: Path = Path("~/.local/share/messplus")
    debug: bool = False
    drain_seconds: float = Field(default=10.0, ge=0, le=3600)
    endpoint_api_key: SecretStr = SecretStr("")


def read_cli_settings() -> CliSettings:
    """Reads the environment. Raises ConfigError with every wrong variable."""
    try:
        return CliSettings()
    except ValidationError as error:
        raise ConfigError(
            [
                ConfigProblem("environment", f"MESSPLUS_{e['loc'][0]}".upper(), repr(e["input"]), e["msg"])
                for e in error.errors()
            ]
        ) from None


def inherited_environment() -> dict[str, str]:
    """What child processes inherit: all but what names places and identities, or is set for this process."""
    own = _OF_ONE_PROCESS | set_for_this_process()
    return {name: value for name, value in os.environ.items() if name.upper() not in own}
